import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/names.ts';

/** Why the collection waits: what the manifest needs cannot be known. In words for an operator. */
export function damagedManifest(name: RepositoryName, digest: Digest): string {
  return `manifest ${digest} of ${name} is missing or damaged in the store`;
}

/** Whether the collection waits for a manifest, which may be whole again by now. */
export function isForDamagedManifest(reason: string): boolean {
  return /^manifest \S+ of \S+ is missing or damaged in the store$/.test(reason);
}
