import {
  digestFromNames,
  linkBytes,
  revisionLinkKey,
  tagIndexPrefix,
  tagKey,
  tagLinkKey,
} from '../../storage/layout.ts';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { Fault } from './fault.ts';
import { paddedLink } from './padded-link.ts';
import type { Scope } from './scope.ts';

/** Whether tree and index agree on where a tag points, after all manifests of the repository were looked at. */
export async function judgeTag(scope: Scope, name: RepositoryName, tag: Tag): Promise<Fault | undefined> {
  const { context, adoption } = scope;
  const { driver, metadata } = context;
  const link = await adoption.tree.linkAt(tagLinkKey(name, tag));
  const known = await metadata.manifests.lookupByTag(name, tag);
  const current = known?.manifest?.digest ?? known?.damaged?.digest;
  if (link === 'absent') return current === undefined ? undefined : { kind: 'tag-row-without-link' };
  const remove = () => driver.delete([tagKey(name, tag)]);
  if (link === 'broken') {
    const meant = await onlyOneMeant(scope, name, tag, current);
    const write = async () => {
      if (meant !== undefined) await driver.writeAll([{ key: tagLinkKey(name, tag), bytes: linkBytes(meant) }]);
    };
    return {
      kind: 'tag-link-broken',
      detail: meant === undefined ? 'nothing says what it pointed to' : `it pointed to ${meant}`,
      fixTree: meant === undefined ? remove : write,
    };
  }
  const nothing: Fault = { kind: 'tag-to-nothing', detail: `it points to ${link}`, fixTree: remove };
  const hasRevision = (await adoption.tree.linkAt(revisionLinkKey(name, link))) !== 'absent';
  if (link === current) return hasRevision ? paddedLink(driver, tagLinkKey(name, tag), link) : nothing;
  const target = await metadata.manifests.lookupByDigest(name, link);
  const isKnown = target?.manifest !== undefined || target?.damaged !== undefined;
  if (isKnown || (await adoption.tree.manifest(name, link)) !== undefined) {
    return current === undefined
      ? { kind: 'tag-unknown-to-index', detail: `it points to ${link}` }
      : { kind: 'tag-differs', detail: `${link} in the tree, ${current} in the index` };
  }
  // The manifest that is lost was told already, and may be pushed again.
  return hasRevision && current === undefined ? undefined : nothing;
}

/** What the index says, or the only manifest that the tag ever pointed to; undefined when that is not there. */
async function onlyOneMeant(
  { context, adoption }: Scope,
  name: RepositoryName,
  tag: Tag,
  current: Digest | undefined,
): Promise<Digest | undefined> {
  const past = current === undefined ? await pastOf(context.driver, name, tag) : [current];
  const [only] = past;
  if (past.length !== 1 || only === undefined) return undefined;
  return (await adoption.tree.manifest(name, only)) === undefined ? undefined : only;
}

async function pastOf(driver: Scope['context']['driver'], name: RepositoryName, tag: Tag): Promise<readonly Digest[]> {
  const digests: Digest[] = [];
  for await (const { name: algorithm } of driver.list(tagIndexPrefix(name, tag))) {
    for await (const { name: hex } of driver.list(tagIndexPrefix(name, tag, algorithm))) {
      const digest = digestFromNames(algorithm, hex);
      if (digest !== undefined) digests.push(digest);
    }
  }
  return digests;
}
