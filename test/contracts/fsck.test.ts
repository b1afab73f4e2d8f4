import assert from 'node:assert/strict';
import { appendFile, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { FindingKind } from '../../registry/fsck/finding.ts';
import { indexKind } from '../harness/index-kind.ts';
import { digestOfText, manifestPush, pushBlob, type OpenedRegistry } from '../harness/registry.ts';
import { APP, CheckedStore, fsck, kindsOf, OTHER, V1 } from './fscked.ts';

/** A damage, what a check calls it, and what is left of it after a repair: images that lost bytes. */
interface Drill {
  readonly damage: (store: CheckedStore) => Promise<void> | void;
  readonly found: readonly FindingKind[];
  readonly lost?: readonly FindingKind[];
  /** The damage is of a database whose columns take anything. */
  readonly isUntyped?: true;
}

async function flip(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  await writeFile(file, bytes);
}

/** What quotas go by is what is there. */
async function assertCounted({ metadata }: OpenedRegistry): Promise<void> {
  for (const each of await metadata.repositories.page('', 100)) {
    const { counted, right } = await metadata.repositories.counts(each);
    assert.deepEqual(counted, right, each);
  }
}

const DRILLS: Readonly<Record<string, Drill>> = {
  'a byte of a small blob flipped': {
    damage: (store) => flip(store.blob(store.sample.small)),
    found: ['blob-corrupt'],
    lost: ['quarantined'],
  },
  'a byte of a large blob flipped': {
    damage: (store) => flip(store.blob(store.sample.large)),
    found: ['blob-corrupt'],
    lost: ['quarantined'],
  },
  'a byte of a manifest flipped that the index keeps': {
    damage: (store) => flip(store.blob(store.sample.manifest)),
    found: ['manifest-corrupt'],
  },
  'a byte of a manifest flipped that the index does not keep': {
    damage: (store) => flip(store.blob(store.sample.bulky)),
    found: ['manifest-corrupt'],
    lost: ['quarantined'],
  },
  'a byte of the link of a layer flipped': {
    damage: (store) => writeFile(store.layerLink(store.sample.small), `${store.sample.small.slice(0, -1)}x`),
    found: ['layer-link-broken'],
  },
  'the link of a layer leading elsewhere': {
    damage: (store) => writeFile(store.layerLink(store.sample.small), store.sample.large),
    found: ['layer-link-broken'],
  },
  'a blob removed': {
    damage: (store) => rm(store.blob(store.sample.large)),
    found: ['blob-missing'],
    lost: ['quarantined'],
  },
  'a blob cut off': {
    damage: (store) => truncate(store.blob(store.sample.large), 1000),
    found: ['blob-corrupt'],
    lost: ['quarantined'],
  },
  'a manifest removed that the index keeps': {
    damage: (store) => rm(store.blob(store.sample.manifest)),
    found: ['manifest-missing'],
  },
  'a manifest removed that the index does not keep': {
    damage: (store) => rm(store.blob(store.sample.bulky)),
    found: ['manifest-missing'],
    lost: ['quarantined'],
  },
  'the link of a layer removed': {
    damage: (store) => rm(store.layerLink(store.sample.small)),
    found: ['image-incomplete', 'layer-row-without-link'],
    lost: ['image-incomplete'],
  },
  'the link of a manifest removed': {
    damage: (store) => rm(store.revisionLink(store.sample.bulky)),
    found: ['manifest-row-without-link', 'tag-to-nothing'],
  },
  'the link of a tag removed': { damage: (store) => rm(store.tagLink()), found: ['tag-row-without-link'] },
  'the link of a layer cut off': {
    damage: (store) => truncate(store.layerLink(store.sample.small), 20),
    found: ['layer-link-broken'],
  },
  'the link of a manifest cut off': {
    damage: (store) => truncate(store.revisionLink(store.sample.manifest), 20),
    found: ['manifest-link-broken'],
  },
  'the link of a tag cut off': { damage: (store) => truncate(store.tagLink(), 20), found: ['tag-link-broken'] },
  'the link of a tag empty': { damage: (store) => truncate(store.tagLink(), 0), found: ['tag-link-broken'] },
  'white space in the link of a layer': {
    damage: (store) => appendFile(store.layerLink(store.sample.small), '\n'),
    found: ['link-padded'],
  },
  'white space in the link of a manifest': {
    damage: (store) => writeFile(store.revisionLink(store.sample.manifest), ` ${store.sample.manifest}`),
    found: ['link-padded'],
  },
  'white space in the link of a tag': {
    damage: (store) => appendFile(store.tagLink(), '\r\n'),
    found: ['link-padded'],
  },
  'a tag that points to nothing': {
    damage: (store) => writeFile(store.tagLink(), `sha256:${'0'.repeat(64)}`),
    found: ['tag-to-nothing'],
  },
  'a tag that points to another manifest': {
    damage: (store) => writeFile(store.tagLink(), store.sample.bulky),
    found: ['tag-differs'],
  },
  'the rows of repositories dropped': {
    damage: (store) => store.execute('DELETE FROM repository'),
    found: ['repository-unknown', 'row-orphaned'],
  },
  'the rows of blobs dropped': {
    damage: (store) => store.execute('DELETE FROM blob'),
    found: ['blob-unknown', 'counter-wrong', 'layer-link-unknown', 'row-orphaned'],
  },
  'the rows of links dropped': {
    damage: (store) => store.execute('DELETE FROM repository_blob'),
    found: ['counter-wrong', 'layer-link-unknown'],
  },
  'the rows of manifests dropped': {
    damage: (store) => store.execute('DELETE FROM manifest'),
    found: ['counter-wrong', 'garbage-unqueued', 'manifest-unknown-to-index', 'row-orphaned', 'tag-unknown-to-index'],
  },
  'the rows of what manifests need dropped': {
    damage: (store) => store.execute('DELETE FROM manifest_reference'),
    found: ['edges-differ'],
  },
  'the rows of tags dropped': {
    damage: (store) => store.execute('DELETE FROM tag'),
    found: ['counter-wrong', 'tag-unknown-to-index'],
  },
  'the queue of the collection dropped, with something in it': {
    damage: (store) => store.execute('DELETE FROM manifest_reference; DELETE FROM collection_queue'),
    found: ['edges-differ', 'garbage-unqueued'],
  },
  'a wrong size in the index': {
    damage: (store) => store.execute('UPDATE blob SET size = size + 1'),
    found: ['blob-wrong-size', 'counter-wrong'],
  },
  'a manifest in the index that belongs to no repository, with what it needs and its tag left behind': {
    damage: (store) => store.execute(`UPDATE manifest SET repository_id = 999 WHERE digest = '${store.sample.bulky}'`),
    found: ['counter-wrong', 'manifest-unknown-to-index', 'row-orphaned'],
  },
  'a size in the index that is no number': {
    damage: (store) => store.execute(`UPDATE blob SET size = 'many'`),
    isUntyped: true,
    found: ['blob-wrong-size', 'counter-wrong'],
  },
  'other bytes of a manifest in the index': {
    damage: (store) => store.execute(`UPDATE manifest SET bytes = X'7B7D' WHERE bytes IS NOT NULL`),
    found: ['manifest-row-differs'],
  },
  'a wrong number of bytes that a repository uses': {
    damage: (store) => store.execute(`UPDATE repository SET bytes = bytes + 1 WHERE name = '${APP}'`),
    found: ['counter-wrong'],
  },
  'a wrong number of tags that a repository has': {
    damage: (store) => store.execute(`UPDATE repository SET tag_count = 0 WHERE name = '${APP}'`),
    found: ['counter-wrong'],
  },
  'another media type in the index': {
    damage: (store) => store.execute(`UPDATE manifest SET media_type = 'text/plain'`),
    found: ['manifest-row-differs'],
  },
};

async function isRight(expected: string | Uint8Array, read: () => Promise<Uint8Array>): Promise<void> {
  try {
    assert.equal(Buffer.compare(await read(), Buffer.from(expected)), 0);
  } catch (error) {
    if (error instanceof assert.AssertionError) throw error;
    const { code, failure } = error as { code?: string; failure?: string };
    assert.ok(
      code === 'BLOB_UNKNOWN' || code === 'MANIFEST_UNKNOWN' || failure === 'truncated' || failure === 'unavailable',
      String(error),
    );
  }
}

/** Every object of the sample is served as it is, or refused with a 404; never wrong, never another error. */
async function servesRightlyOrRefuses({ registry }: OpenedRegistry, { sample }: CheckedStore): Promise<void> {
  for (const repository of [APP, OTHER]) {
    for (const [digest, text] of [
      [sample.config, '{}'],
      [sample.small, 'small'],
      [sample.large, sample.largeText],
    ] as const) {
      await isRight(text, async () => {
        const blob = await registry.blobs.get(repository, digest);
        const small = await registry.blobs.small(repository, blob);
        return small ?? readAll(await registry.blobs.openWhole(repository, blob));
      });
    }
    await isRight(sample.manifestBytes, async () =>
      registry.manifests.bytes(repository, await registry.manifests.get(repository, { digest: sample.manifest })),
    );
  }
  await isRight(sample.bulkyBytes, async () =>
    registry.manifests.bytes(APP, await registry.manifests.get(APP, { digest: sample.bulky })),
  );
}

async function readAll(reader: { fill(buffer: Uint8Array): Promise<number>; close(): Promise<void> }) {
  const chunks: Buffer[] = [];
  try {
    for (;;) {
      const buffer = Buffer.alloc(64 * 1024);
      const length = await reader.fill(buffer);
      if (length === 0) return Buffer.concat(chunks);
      chunks.push(buffer.subarray(0, length));
    }
  } finally {
    await reader.close();
  }
}

/** Pushes all of the sample again. */
async function pushAgain({ registry }: OpenedRegistry, { sample }: CheckedStore): Promise<void> {
  for (const text of ['{}', 'small', sample.largeText]) await pushBlob(registry, APP, text);
  await registry.manifests.put(manifestPush(APP, V1, sample.manifestBytes));
  await registry.manifests.put(manifestPush(APP, V1, sample.bulkyBytes));
}

describe('a check of a store', () => {
  it('finds nothing in one that is whole, and says how much it looked at', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    for (const isQuick of [false, true]) {
      const { findings, byKind, bytes, ...looked } = await fsck(opened, { isQuick });
      assert.deepEqual(findings, []);
      assert.deepEqual(byKind, {});
      assert.equal(bytes > 300_000, !isQuick);
      const { repositories, manifests, tags, layers, blobs } = looked;
      assert.deepEqual(
        { repositories, manifests, tags, layers, blobs },
        { repositories: 2, manifests: 3, tags: 3, layers: 6, blobs: 5 },
      );
    }
  });

  it('says of whom rows are left over, and how many', async () => {
    await using store = await CheckedStore.create();
    const { small, bulky } = store.sample;
    await store.execute(`DELETE FROM blob WHERE digest = '${small}'`);
    await store.execute(`DELETE FROM manifest WHERE digest = '${bulky}'`);
    await store.execute(`INSERT INTO repository_blob (repository_id, blob_id, linked_at) SELECT 900, blob_id, 0 FROM repository_blob
             WHERE repository_id = (SELECT id FROM repository WHERE name = '${OTHER}')`);
    await using opened = await store.open();
    for (const isRepairing of [false, true]) {
      const { findings } = await fsck(opened, { isRepairing });
      assert.deepEqual(
        findings.filter(({ kind }) => kind === 'row-orphaned').map(({ repository, detail }) => [repository, detail]),
        [
          [undefined, '3 of a repository that is not there'],
          [APP, '1 of a manifest that is not there'],
          [APP, '3 of a manifest that is not there'],
          [APP, '1 of a blob that is not there'],
          [OTHER, '1 of a blob that is not there'],
        ],
      );
    }
    assert.equal((await fsck(opened)).byKind['row-orphaned'], undefined);
  });

  it('forgets what was read from a manifest row that was wrong: how long it is to stay, and what only it needed', async () => {
    await using store = await CheckedStore.create();
    const stray = digestOfText('what the row names and the manifest does not');
    await store.execute(`UPDATE manifest SET expires_after = 1 WHERE digest = '${store.sample.manifest}'`);
    await store.execute(
      `INSERT INTO manifest_reference (manifest_id, repository_id, kind, digest)
       SELECT id, repository_id, 'layer', '${stray}' FROM manifest WHERE digest = '${store.sample.manifest}'`,
    );
    await using opened = await store.open();
    assert.deepEqual(kindsOf(await fsck(opened)), ['edges-differ']);
    await fsck(opened, { isRepairing: true });
    const { metadata } = opened;
    const id = (await metadata.repositories.find(APP))?.id ?? assert.fail();
    const tags = await metadata.retention.tags(id, '', 10);
    const tag = tags.find(({ digest }) => digest === store.sample.manifest) ?? assert.fail();
    assert.equal(tag.expiresAfterMs, undefined);
    const queued = await metadata.collection.due(Date.now() + 1000, undefined, 1000);
    assert.ok(queued.some(({ digest }) => digest === stray));
  });

  for (const [title, { damage, found, isUntyped = false, lost = [] }] of Object.entries(DRILLS)) {
    // There a column takes no such value.
    if (isUntyped && indexKind().isTyped) continue;
    it(`names ${title}; nobody gets wrong bytes, and a repair leaves nothing of it`, async () => {
      await using store = await CheckedStore.create();
      await damage(store);
      {
        await using opened = await store.open();
        assert.deepEqual(kindsOf(await fsck(opened)), found);
        assert.deepEqual(kindsOf(await fsck(opened)), found, 'a check changes nothing');
        const repaired = await fsck(opened, { isRepairing: true });
        assert.equal(repaired.repaired, repaired.differences, JSON.stringify(repaired.findings));
        await assertCounted(opened);
        assert.deepEqual(kindsOf(await fsck(opened)), lost);
        await servesRightlyOrRefuses(opened, store);
        await opened.registry.maintenance.verifyTree(async () => {});
        assert.deepEqual(kindsOf(await fsck(opened)), lost, 'a start sees it in the same way');
      }
      await using opened = await store.open();
      await pushAgain(opened, store);
      assert.deepEqual(kindsOf(await fsck(opened)), [], 'a push heals what was lost');
    });

    it(`lets nobody have wrong bytes with ${title} and no check at all`, async () => {
      await using store = await CheckedStore.create();
      await damage(store);
      await using opened = await store.open();
      await servesRightlyOrRefuses(opened, store);
      await opened.registry.maintenance.verifyTree(async () => {});
      await servesRightlyOrRefuses(opened, store);
      await fsck(opened, { isRepairing: true });
      assert.equal((await fsck(opened)).differences, 0);
      await servesRightlyOrRefuses(opened, store);
    });
  }
});
