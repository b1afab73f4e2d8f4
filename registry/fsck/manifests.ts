import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { ManifestRow } from '../../storage/metadata/check.ts';
import type { NewManifest } from '../../storage/metadata/manifests.ts';
import { blobKey, linkBytes, revisionLinkKey } from '../../storage/layout.ts';
import { rightBytes } from '../quarantine.ts';
import { suspect } from '../stored-bytes.ts';
import type { Fault } from './fault.ts';
import { paddedLink } from './padded-link.ts';
import type { Scope } from './scope.ts';

/** Whether tree and index agree on a manifest, its bytes and what it needs. */
export async function judgeManifest(scope: Scope, name: RepositoryName, digest: Digest): Promise<Fault | undefined> {
  const { context, adoption } = scope;
  const { driver, metadata } = context;
  const link = await adoption.tree.linkAt(revisionLinkKey(name, digest));
  const row = await metadata.check.manifest(name, digest);
  if (link === 'absent') return row === undefined ? undefined : { kind: 'manifest-row-without-link' };
  const stored = await adoption.tree.storedManifest(digest);
  if (stored === undefined) return withoutBytes(scope, name, digest, row);
  if (link !== digest) {
    return {
      kind: 'manifest-link-broken',
      ...(link !== 'broken' && { detail: `it leads to ${link}` }),
      fixTree: () => driver.writeAll([{ key: revisionLinkKey(name, digest), bytes: linkBytes(digest) }]),
    };
  }
  if (row === undefined || row.state === 'pending') return { kind: 'manifest-unknown-to-index' };
  if (row.state === 'quarantined') return { kind: 'manifest-row-differs', detail: 'it is whole in the store again' };
  return differs(row, stored) ?? paddedLink(driver, revisionLinkKey(name, digest), digest);
}

async function withoutBytes(
  { context }: Scope,
  name: RepositoryName,
  digest: Digest,
  row: ManifestRow | undefined,
): Promise<Fault | undefined> {
  // Told as a blob that was quarantined.
  if (row?.state === 'quarantined') return undefined;
  const isThere = (await context.driver.stat(blobKey(digest))) !== undefined;
  const isKept = (await rightBytes(context, digest)) !== undefined;
  if (!isThere && row === undefined && !isKept) return { kind: 'manifest-lost', isFinal: true };
  const fixBytes = async () => {
    const became = await suspect(context, digest, `the manifest of ${name} is damaged or gone`);
    return became === 'repaired' || became === 'quarantined';
  };
  const detail = isKept ? 'the index has its bytes' : 'the index does not have its bytes either';
  return { kind: isThere ? 'manifest-corrupt' : 'manifest-missing', detail, fixBytes };
}

/** The index says what the bytes say as soon as they were looked at with the locks held. */
function differs(row: ManifestRow, stored: NewManifest): Fault | undefined {
  if (edgesOf(row) !== edgesOf(stored)) return { kind: 'edges-differ' };
  const wrong = differences(row, stored);
  return wrong.length === 0 ? undefined : { kind: 'manifest-row-differs', detail: wrong.join(', ') };
}

function edgesOf({ references }: NewManifest): string {
  return [...new Set(references.map(({ kind, digest }) => `${kind} ${digest}`))].toSorted().join('\n');
}

/** The words for what the row has otherwise than the bytes. */
function differences(row: ManifestRow, stored: NewManifest): readonly string[] {
  const isSame = {
    size: row.size === stored.size,
    'media type': row.mediaType === stored.mediaType,
    'artifact type': row.artifactType === stored.artifactType,
    subject: row.subject === stored.subject,
    annotations: textOf(row.annotations) === textOf(stored.annotations),
    // Where the index keeps none it reads them from the store.
    bytes: row.bytes === undefined || (stored.bytes !== undefined && Buffer.compare(row.bytes, stored.bytes) === 0),
  };
  return Object.entries(isSame).flatMap(([word, same]) => (same ? [] : [word]));
}

function textOf(annotations: Readonly<Record<string, string>> | undefined): string {
  return JSON.stringify(Object.entries(annotations ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
