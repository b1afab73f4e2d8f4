import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { digestOf, mountBlob, pushManifest, request, seededBytes, type Endpoint } from '../harness/push.ts';
import { image, indexOf } from './documents.ts';
import { collectGarbage, parseGarbage } from './garbage.ts';
import { Holdings } from './holdings.ts';
import { Pusher } from './pusher.ts';
import { DISTRIBUTIONS, Store } from './stores.ts';
import { verifyHoldings } from './verify.ts';

for (const distribution of DISTRIBUTIONS) {
  describe(`a store that Entrepot wrote, with ${distribution.title}`, { skip: distribution.missing }, () => {
    const holdings = new Holdings();
    let store: Store;
    // In the order in which they are needed: each test starts from what the one before it left.
    let garbage: readonly string[];

    before(async () => {
      store = await Store.create(distribution);
      garbage = await store.withEntrepot((server) => fill(server, new Pusher(server, holdings)));
    });
    after(() => store[Symbol.asyncDispose]());

    it('is served whole by Distribution, without what was deleted', async (t) => {
      const answers = await store.withDistribution((server) => verifyHoldings(server, holdings, 'distribution'));
      t.diagnostic(`${answers} answers held against what was pushed`);
      assert.ok(answers > 100, `only ${answers}`);
    });

    it("loses nothing to Distribution's garbage collector, which finds what was deleted", async () => {
      const { marked, eligible } = await collectGarbage(store, 'dry-run');
      const inUse = holdings.inUse();
      assert.ok(inUse.size > 40 && marked >= inUse.size, `${marked} marked, ${inUse.size} in use`);
      assert.deepEqual(
        eligible.filter((digest) => inUse.has(digest)),
        [],
      );
      assert.deepEqual(
        garbage.filter((digest) => !eligible.includes(digest)),
        [],
        'garbage that it does not find',
      );
    });

    it('is served whole by both after garbage was collected for real', async () => {
      holdings.forgetUnused();
      const { eligible } = await collectGarbage(store, 'for real');
      assert.notEqual(eligible.length, 0);
      await store.withDistribution((server) => verifyHoldings(server, holdings, 'distribution'));
      await store.withEntrepot(async (server) => {
        await verifyHoldings(server, holdings, 'entrepot');
        for (const digest of garbage) await request(server, 'GET', `/v2/edited/blobs/${digest}`, { status: 404 });
      });
    });

    it('takes collected content anew', async () => {
      await store.withEntrepot(async (server) => {
        const pusher = new Pusher(server, holdings);
        await pusher.image('edited', image('edited deleted'), 'again');
        await verifyHoldings(server, holdings, 'entrepot');
      });
      await store.withDistribution((server) => verifyHoldings(server, holdings, 'distribution'));
    });
  });
}

describe("the words of Distribution's garbage collector", () => {
  it('are understood', () => {
    const printed = 'a/b\n\n3 blobs marked, 1 blobs and 0 manifests eligible for deletion\n';
    assert.deepEqual(parseGarbage(`${printed}blob eligible for deletion: sha256:ab\n`), {
      marked: 3,
      eligible: ['sha256:ab'],
    });
  });

  it('are not taken for others', () => {
    assert.throws(() => parseGarbage(''), /says nothing/);
    assert.throws(() => parseGarbage('3 blobs marked, 1 blobs and 0 manifests eligible for deletion\n'), /counts/);
  });
});

/** Everything that a client can do to a registry. @returns digests that nothing needs any more */
async function fill(server: Endpoint, pusher: Pusher): Promise<readonly string[]> {
  const plain = image('plain');
  const styles = ['post-put', 'single-post', 'chunked', 'streamed'] as const;
  for (const style of styles) {
    const styled = image(`plain ${style}`);
    for (const bytes of styled.blobs) await pusher.blob('plain', bytes, { style });
    await pusher.manifest('plain', styled, style);
  }
  await pusher.image('plain', plain, 'v1', 'latest');
  for (const bytes of plain.blobs) await pusher.mount('mounted/deep', bytes, 'plain');
  await pusher.manifest('mounted/deep', plain, 'v1');
  for (const docker of [false, true]) {
    const children = [image('a', { docker }), image('b', { docker })];
    for (const child of children) await pusher.image('platforms', child);
    await pusher.manifest('platforms', indexOf(children, { docker }), docker ? 'list' : 'index');
  }
  // An index may be sparse, and then its repository has no layer at all.
  await pusher.manifest('platforms/elsewhere', indexOf([image('elsewhere')]), 'v1');
  await pusher.seeded('plain', { artifactType: 'application/vnd.example.sbom' }, 'sbom');
  await pusher.blob('plain', new Uint8Array());
  const sha512 = image('sha512', { algorithm: 'sha512' });
  for (const bytes of sha512.blobs) {
    await pusher.blob('sha512', bytes);
    await pusher.blob('sha512', bytes, { digest: digestOf(bytes, 'sha512') });
  }
  await pusher.manifest('sha512', sha512, 'v1');
  for (let index = 0; index < 10; index++) await pusher.seeded(`small/${index}`, { layers: 1 }, 'v1');
  return edit(server, pusher);
}

/** Retags and deletes. @returns digests that nothing needs any more */
async function edit(server: Endpoint, pusher: Pusher): Promise<readonly string[]> {
  const name = 'edited';
  for (const seed of ['first', 'second', 'third']) await pusher.image(name, image(`${name} ${seed}`), 'moved');
  await pusher.image(name, image(`${name} untagged`), 'untagged', 'kept');
  await pusher.deleteTag(name, 'untagged');
  const deleted = image(`${name} deleted`);
  await pusher.image(name, deleted, 'deleted');
  await pusher.deleteManifest(name, deleted);
  const blob = seededBytes('deleted blob', 700);
  await pusher.blob(name, blob);
  await pusher.deleteBlob(name, blob);
  const whole = await pusher.seeded('dropped/whole', {}, 'v1', 'v2');
  await pusher.deleteRepository('dropped/whole');
  await pusher.seeded('dropped', {}, 'beside');
  await pusher.image('dropped/below/again', whole, 'v1');
  await tagAnew(server, pusher, name);
  return [...deleted.blobs, deleted.bytes, blob].map((bytes) => digestOf(bytes));
}

/** A tag that was deleted and pushed again, and one that another manifest gave up. */
async function tagAnew(server: Endpoint, pusher: Pusher, name: string): Promise<void> {
  const document = image(`${name} kept`);
  await pusher.image(name, document, 'back');
  await pusher.deleteTag(name, 'back');
  await pusher.manifest(name, document, 'back');
  // The same once more changes nothing.
  await pushManifest(server, name, 'back', document);
  await mountBlob(server, name, digestOf(document.blobs[1] ?? new Uint8Array()), name);
}
