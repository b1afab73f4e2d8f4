import assert from 'node:assert/strict';
import { it } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import type { Rights } from '../../registry/rights.ts';
import { indexKind } from '../harness/index-kind.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';

const REPOSITORY = name('team/app');
const ONLY_DEV: Rights = {
  may: (_action, _repository, tag) => tag === undefined || tag.startsWith('dev-'),
  sees: () => true,
  seesAll: true,
};

it('who may push some tags attaches nothing to others, also where the index has just been lost', async () => {
  await using directory = await temporaryDirectory();
  const image = imageOf('{}', 'layer');
  {
    await using store = await openTestRegistry({ root: directory.path });
    for (const blob of ['{}', 'layer']) await pushBlob(store.registry, REPOSITORY, blob);
    await store.registry.manifests.put(manifestPush(REPOSITORY, parseTag('v1'), image));
  }
  await indexKind().remove(directory.path);
  await using store = await openTestRegistry({ root: directory.path });
  const subject = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOfText(image),
    size: image.length,
  };
  const referrer = Buffer.from(JSON.stringify({ ...(JSON.parse(imageOf('{}').toString()) as object), subject }));
  const digest = digestOfText(referrer);
  const push = { name: REPOSITORY, reference: { digest }, tags: [], bytes: referrer, contentType: undefined };
  await assert.rejects(store.registry.manifests.put({ ...push, rights: ONLY_DEV }), { code: 'DENIED' });
  await store.registry.manifests.put(manifestPush(REPOSITORY, parseTag('dev-1'), image));
  await store.registry.manifests.put({ ...push, rights: ONLY_DEV });
});
