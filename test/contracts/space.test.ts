import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { sizeText } from '../../registry/size-text.ts';
import type { Selected } from '../../registry/space/selection.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';

const A = name('a');
const B = name('b');
const V1 = parseTag('v1');
const V2 = parseTag('v2');
const HOURS = 2 * 3_600_000;

async function open(root: string) {
  const clock = { now: Date.parse('2026-06-01T00:00:00Z') };
  const opened = await openTestRegistry({ root, now: () => clock.now, settings: { allowSparseImages: true } });
  await opened.registry.maintenance.verifyTree(async () => {});
  const { registry } = opened;
  const put = async (to: RepositoryName, bytes: Buffer, tag: typeof V1 | undefined) => {
    const reference = tag === undefined ? { digest: digestOfText(bytes) } : { tag };
    await registry.manifests.put({ ...manifestPush(to, V1, bytes), reference });
    return { repository: to, digest: digestOfText(bytes) };
  };
  const measure = (selected: Selected, within: 'registry' | 'repository' = 'registry') =>
    registry.spaces.measure(selected, within);
  const collect = async () => {
    let bytes = 0;
    for (let round = 0; round < 3; round++) {
      clock.now += HOURS;
      const collected = await registry.collection.run(async () => true);
      bytes += typeof collected === 'string' ? assert.fail(collected) : collected.bytes;
    }
    return bytes;
  };
  const push = (to: RepositoryName, ...blobs: string[]) =>
    Promise.all(blobs.map((content) => pushBlob(registry, to, content)));
  return { ...opened, put, measure, collect, push };
}

const artifact = (subject: Buffer, layer: string) =>
  Buffer.from(
    JSON.stringify({
      ...(JSON.parse(imageOf(layer).toString()) as object),
      subject: {
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: digestOfText(subject),
        size: subject.length,
      },
    }),
  );

describe('what a selection takes', () => {
  it('is the tag, what is attached to it, and what is attached to that', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    await store.push(A, '{}', 'layer', 'signature', 'of the signature');
    const image = imageOf('{}', 'layer');
    const signature = artifact(image, 'signature');
    const second = artifact(signature, 'of the signature');
    await store.put(A, image, V1);
    for (const bytes of [signature, second]) await store.put(A, bytes, undefined);
    const total = ['{}', 'layer', 'signature', 'of the signature', image, signature, second].reduce(
      (sum, each) => sum + each.length,
      0,
    );
    const space = { total, own: total, shared: 0, freed: total };
    assert.deepEqual(await store.measure({ repository: A, tag: V1 }), space);
    assert.deepEqual(await store.measure({ repository: A }), space);
    // What is attached to something that stays frees nothing without its digest being named.
    await store.put(A, signature, V2);
    const tagged = await store.measure({ repository: A, tag: V2 });
    assert.deepEqual([tagged.own, tagged.freed], [0, 0]);
    const named = await store.measure({ repository: A, digest: digestOfText(signature) });
    assert.equal(named.freed, 'signature'.length + 'of the signature'.length + signature.length + second.length);
  });

  it('is nothing that only a manifest without a tag needs as well, as far as it is freed', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    await store.push(A, '{}', 'layer', 'more');
    await store.put(A, imageOf('{}', 'layer'), undefined);
    const bytes = imageOf('{}', 'layer', 'more');
    await store.put(A, bytes, V1);
    const { total, own, freed } = await store.measure({ repository: A, tag: V1 });
    assert.deepEqual([total, own, freed], [11 + bytes.length, 11 + bytes.length, 4 + bytes.length]);
  });

  it('leaves what is freed to another repository that only names it, and counts it when that one goes', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    await store.push(A, '{}', 'layer');
    await store.push(B, '{}');
    const image = imageOf('{}', 'layer');
    await store.put(A, image, V1);
    // A sparse image: b does not have the layer.
    const sparse = imageOf('{}', 'layer', 'layer nowhere');
    await store.put(B, sparse, V1);
    assert.deepEqual(await store.measure({ repository: A }), {
      total: 7 + image.length,
      own: 5 + image.length,
      shared: 2,
      freed: image.length,
    });
    await store.registry.repositories.delete(A);
    assert.equal(await store.collect(), image.length);
    const last = await store.measure({ repository: B, tag: V1 });
    assert.deepEqual([last.total, last.own, last.freed], [2 + sparse.length, 2 + sparse.length, 7 + sparse.length]);
    // Whoever may see only this one is not told of what it does not have.
    assert.equal((await store.measure({ repository: B, tag: V1 }, 'repository')).freed, 2 + sparse.length);
    await store.registry.repositories.delete(B);
    assert.equal(await store.collect(), last.freed);
  });

  it('is what waits for the collection as well, of a whole repository', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    await store.push(A, 'needed by nobody', '{}');
    const image = imageOf('{}');
    await store.put(A, image, V1);
    const all = 18 + image.length;
    assert.deepEqual(await store.measure({ repository: A }), { total: all, own: all, shared: 0, freed: all });
    assert.equal((await store.measure({ repository: A, tag: V1 })).total, 2 + image.length);
  });

  it('is all of an index, and of a child that is deleted from under it', async () => {
    await using directory = await temporaryDirectory();
    await using store = await open(directory.path);
    await store.push(A, '{}', 'one', 'two');
    const children = [imageOf('{}', 'one'), imageOf('{}', 'two')];
    const manifests = children.map((bytes) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: digestOfText(bytes),
      size: bytes.length,
    }));
    for (const bytes of children) await store.put(A, bytes, undefined);
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
    await store.put(A, index, V1);
    const total = 8 + index.length + children.reduce((sum, { length }) => sum + length, 0);
    assert.deepEqual(await store.measure({ repository: A, tag: V1 }), { total, own: total, shared: 0, freed: total });
    const [child = index] = children;
    const part = await store.measure({ repository: A, digest: digestOfText(child) });
    assert.deepEqual(part, { total: 5 + child.length, own: 0, shared: 5 + child.length, freed: 3 });
    await store.registry.manifests.delete(A, digestOfText(child), EVERYTHING);
    assert.equal(await store.collect(), 3);
  });
});

describe('the text of a size', () => {
  it('never says more than it is', () => {
    const said = [0, 1023, 1024, 1536, 1024 ** 2 - 1, 1024 ** 3 * 1.29, 1024 ** 6].map(sizeText);
    assert.deepEqual(said, ['0 B', '1023 B', '1.0 KiB', '1.5 KiB', '1023.9 KiB', '1.2 GiB', '1024.0 PiB']);
  });
});
