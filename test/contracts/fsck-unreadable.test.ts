import assert from 'node:assert/strict';
import { mkdir, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { FindingKind } from '../../registry/fsck/finding.ts';
import { layersPrefix, QUARANTINE_PREFIX, revisionsPrefix, tagLinkKey, tagsPrefix } from '../../storage/layout.ts';
import { pushBlob } from '../harness/registry.ts';
import { APP, CheckedStore, fsck, kindsOf, OTHER, V1 } from './fscked.ts';

/** A link to itself is what whoever runs the tests as root cannot read either. */
async function makeUnreadable(file: string): Promise<void> {
  await rm(file, { recursive: true });
  await symlink(file, file);
}

const PLACES: Readonly<
  Record<string, { readonly file: (store: CheckedStore) => string; readonly found: readonly FindingKind[] }>
> = {
  'the link of a layer': { file: (store) => store.layerLink(store.sample.small), found: ['unreadable'] },
  'the link of a manifest': { file: (store) => store.revisionLink(store.sample.manifest), found: ['unreadable'] },
  'the link of a tag': { file: (store) => store.tagLink(), found: ['unreadable'] },
  'the bytes of a blob': { file: (store) => store.blob(store.sample.small), found: ['blob-unreadable'] },
  'the bytes of a manifest that the index keeps': {
    file: (store) => store.blob(store.sample.manifest),
    found: ['blob-unreadable', 'unreadable'],
  },
  'the bytes of a manifest that the index does not keep': {
    file: (store) => store.blob(store.sample.bulky),
    found: ['blob-unreadable', 'unreadable'],
  },
  'the directory of all layers': {
    file: (store) => store.pathOf(layersPrefix(APP)),
    found: ['foreign-file', 'unreadable'],
  },
  'the directory of all manifests': { file: (store) => store.pathOf(revisionsPrefix(APP)), found: ['unreadable'] },
  'the directory of all tags': { file: (store) => store.pathOf(tagsPrefix(APP)), found: ['unreadable'] },
  'a directory of blobs': {
    file: (store) => path.dirname(path.dirname(store.blob(store.sample.small))),
    found: ['blob-unreadable', 'foreign-file', 'unreadable'],
  },
};

describe('a check of a store of which something cannot be read', () => {
  for (const [title, { file, found }] of Object.entries(PLACES)) {
    it(`names ${title}, looks at the rest, and repairs nothing that is good`, async () => {
      await using store = await CheckedStore.create();
      await makeUnreadable(file(store));
      await rm(store.pathOf(tagLinkKey(OTHER, V1)));
      const all = [...found, 'tag-row-without-link' as const].toSorted();
      await using opened = await store.open();
      assert.deepEqual(kindsOf(await fsck(opened)), all);
      const repaired = await fsck(opened, { isRepairing: true });
      assert.deepEqual([kindsOf(repaired), repaired.differences, repaired.repaired], [all, 1, 1]);
      assert.deepEqual(kindsOf(await fsck(opened)), found);
      assert.deepEqual(await readdir(store.pathOf(QUARANTINE_PREFIX)).catch(() => []), []);
    });
  }
});

describe('an index with a row that does not say what it should', () => {
  it('is named with what to do, where it is one repository, and the others are looked at', async () => {
    await using store = await CheckedStore.create();
    await store.execute(`UPDATE manifest SET digest = 'no digest' WHERE digest = '${store.sample.bulky}'`);
    await rm(store.pathOf(tagLinkKey(OTHER, V1)));
    await using opened = await store.open();
    const { findings, byKind } = await fsck(opened);
    assert.equal(byKind['tag-row-without-link'], 1);
    const { repository, detail } = findings.find(({ kind }) => kind === 'unreadable') ?? assert.fail();
    assert.equal(repository, APP);
    assert.match(
      detail ?? '',
      /the index holds a digest that is none \(no digest\): while no server runs, delete index\.db/,
    );
    assert.deepEqual(await opened.registry.maintenance.verifyTree(async () => {}), { repositories: 2, failed: 1 });
  });

  it('is an error that says what to do, where it is the name of a repository', async () => {
    await using store = await CheckedStore.create();
    await store.execute(`UPDATE repository SET name = 'No Name' WHERE name = '${APP}'`);
    await using opened = await store.open();
    await assert.rejects(fsck(opened), {
      name: 'StorageError',
      message: /No Name\): while no server runs, delete index\.db/,
    });
  });
});

describe('what is in the place of bytes that were set aside', () => {
  it('is named when it is other bytes, also where a manifest was', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    for (const digest of [store.sample.bulky, store.sample.large]) {
      await rm(store.blob(digest));
      await fsck(opened, { isRepairing: true });
      assert.deepEqual(kindsOf(await fsck(opened)), ['quarantined']);
      await writeFile(store.blob(digest), 'something else');
      assert.ok(kindsOf(await fsck(opened)).includes('blob-corrupt'));
      await fsck(opened, { isRepairing: true });
      assert.deepEqual(kindsOf(await fsck(opened)), ['quarantined']);
    }
  });

  it('is no directory that would be in the way of the push that heals', async () => {
    await using store = await CheckedStore.create();
    await using opened = await store.open();
    const file = store.blob(store.sample.small);
    await rm(file);
    await mkdir(file);
    await fsck(opened, { isRepairing: true });
    await pushBlob(opened.registry, OTHER, 'small');
    assert.deepEqual(kindsOf(await fsck(opened)), []);
  });
});
