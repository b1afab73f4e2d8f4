import type { CopyFault } from '../registry/backup/copy-blobs.ts';
import type { IncompleteImage } from '../registry/backup/snapshot-lines.ts';

/** What is wrong where something was copied from, and which images were left out because of that; a line each. */
export function faultLines(
  where: string,
  {
    faults,
    incomplete,
  }: {
    readonly faults: readonly { readonly digest: string; readonly fault: CopyFault }[];
    readonly incomplete: readonly IncompleteImage[];
  },
): readonly string[] {
  return [
    ...faults.map(({ digest, fault }) => `${digest} is ${fault} in ${where}`),
    ...incomplete.map((image) => `left out: ${nameOf(image)}, which needs ${image.missing.join(', ')}`),
  ];
}

/** As a person would ask for it. */
export function nameOf({ repository, manifest, tags }: IncompleteImage): string {
  return tags.length === 0 ? `${repository}@${manifest}` : tags.map((tag) => `${repository}:${tag}`).join(', ');
}
