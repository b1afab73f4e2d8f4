import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { Digest } from '../../oci/digest.ts';
import { parseTag } from '../../oci/names.ts';
import { BackupDirectory } from '../../registry/backup/backup-directory.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { serveCopy } from '../../server/copy-service.ts';
import { blobKey } from '../../storage/layout.ts';
import { backUp, pullBackup } from '../harness/backup.ts';
import { temporaryDirectory } from '../harness/process.ts';
import {
  digestOfText,
  imageOf,
  manifestPush,
  name,
  openTestRegistry,
  pushBlob,
  type OpenedRegistry,
} from '../harness/registry.ts';

const APP = name('team/app');
const large = (letter: string) => letter.repeat(300_000);

async function push({ registry }: OpenedRegistry, tag: string, ...layers: readonly string[]): Promise<Digest> {
  for (const content of [`config of ${tag}`, ...layers]) await pushBlob(registry, APP, content);
  const bytes = imageOf(`config of ${tag}`, ...layers);
  await registry.manifests.put(manifestPush(APP, parseTag(tag), bytes));
  return digestOfText(bytes);
}

interface Stores extends AsyncDisposable {
  readonly opened: OpenedRegistry;
  readonly root: string;
  readonly copy: string;
  readonly elsewhere: string;
}

async function stores(settings = {}): Promise<Stores> {
  const directory = await temporaryDirectory();
  const root = path.join(directory.path, 'root');
  const opened = await openTestRegistry({ root, settings });
  await opened.registry.maintenance.verifyTree(async () => {});
  return {
    opened,
    root,
    copy: path.join(directory.path, 'copy'),
    elsewhere: path.join(directory.path, 'elsewhere'),
    [Symbol.asyncDispose]: async () => {
      await opened[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

const fileOf = (root: string, digest: Digest) => path.join(root, blobKey(digest));

test('a backup copies what is new and nothing else, and everything of it can be pulled', async () => {
  await using s = await stores();
  await push(s.opened, 'v1', large('a'), 'small a');
  const first = await backUp(s.root, s.copy);
  // A config, two layers, and the manifest.
  assert.equal(first.copiedBlobs, 4);
  assert.equal(first.copiedBytes, first.bytes);
  const inode = async (root: string) => (await stat(fileOf(root, digestOfText(large('a'))))).ino;
  assert.notEqual(await inode(s.root), await inode(s.copy), 'a copy shares no inode with the store');
  const again = await backUp(s.root, s.copy);
  assert.deepEqual([again.copiedBlobs, again.copiedBytes, again.linksWritten, again.linksRemoved], [0, 0, 0, 0]);
  await push(s.opened, 'v2', large('a'), large('b'));
  const third = await backUp(s.root, s.copy);
  const manifest = imageOf('config of v2', large('a'), large('b')).length;
  assert.deepEqual([third.copiedBlobs, third.copiedBytes], [3, 300_000 + 'config of v2'.length + manifest]);
  const pulled = await pullBackup(s.copy);
  assert.deepEqual(pulled.faults, []);
  assert.deepEqual([pulled.repositories, pulled.tags, pulled.manifests, pulled.blobs], [1, 2, 2, 7]);
  assert.equal(pulled.bytes, third.bytes);
});

test('each snapshot has the tags of its moment, also after everything was deleted', async () => {
  await using s = await stores({ collectionGraceMs: 0 });
  const v1 = await push(s.opened, 'v1', large('a'));
  const one = await backUp(s.root, s.copy);
  const { registry } = s.opened;
  await push(s.opened, 'latest', large('b'));
  const moved = await push(s.opened, 'v1', large('c'));
  assert.notEqual(moved, v1);
  const two = await backUp(s.root, s.copy);
  await registry.repositories.delete(APP);
  assert.equal(typeof (await registry.collection.run(async () => true)), 'object');
  await assert.rejects(stat(fileOf(s.root, v1)));
  const three = await backUp(s.root, s.copy);
  assert.deepEqual([three.repositories, three.tags, three.blobs, three.removedBlobs], [0, 0, 0, 0]);
  for (const [{ snapshot }, tags] of [
    [one, 1],
    [two, 2],
    [three, 0],
  ] as const) {
    const pulled = await pullBackup(s.copy, snapshot);
    assert.deepEqual([pulled.faults, pulled.tags], [[], tags], snapshot);
  }
});

test('snapshots that are no longer kept take along the blobs that only they needed', async () => {
  await using s = await stores();
  const { registry } = s.opened;
  const gone = await push(s.opened, 'old', large('a'), 'shared');
  await backUp(s.root, s.copy, { keep: 2 });
  await push(s.opened, 'new', large('b'), 'shared');
  await registry.manifests.delete(APP, gone, EVERYTHING);
  await registry.blobs.delete(APP, digestOfText(large('a')));
  const second = await backUp(s.root, s.copy, { keep: 2 });
  assert.deepEqual([second.removedBlobs, second.snapshotsForgotten], [0, []]);
  const third = await backUp(s.root, s.copy, { keep: 2 });
  assert.equal(third.snapshotsForgotten.length, 1);
  // The layer and the manifest; the config's link is still there.
  assert.equal(third.removedBlobs, 2);
  await assert.rejects(stat(fileOf(s.copy, digestOfText(large('a')))));
  assert.deepEqual(await readdir(path.join(s.copy, '.meta', 'trash')), []);
  const backup = await BackupDirectory.open(s.copy);
  for (const id of await backup.snapshots()) assert.deepEqual((await pullBackup(s.copy, id)).faults, [], id);
});

test('while a list cannot be read no blob is removed', async () => {
  await using s = await stores();
  const digest = await push(s.opened, 'v1', large('a'));
  const { snapshot } = await backUp(s.root, s.copy);
  await writeFile(path.join(s.copy, '.meta', 'snapshots', `${snapshot}.jsonl.gz`), 'no gzip');
  await s.opened.registry.manifests.delete(APP, digest, EVERYTHING);
  const later = await backUp(s.root, s.copy);
  assert.equal(later.removedBlobs, 0);
  await stat(fileOf(s.copy, digest));
  await assert.rejects(pullBackup(s.copy, snapshot), /is damaged .*restore another snapshot/);
});

test('a blob that is damaged, cut or gone in the store is named, and never copied', async (context) => {
  const damages: Readonly<Record<string, { fault: string; damage: (file: string) => Promise<void> }>> = {
    flipped: { fault: 'corrupt', damage: async (file) => writeFile(file, large('x')) },
    cut: { fault: 'corrupt', damage: async (file) => truncate(file, 1000) },
    gone: { fault: 'missing', damage: async (file) => rm(file) },
    unreadable: {
      fault: 'unreadable',
      damage: async (file) => {
        await rm(file);
        await symlink(file, file);
      },
    },
  };
  for (const [title, { fault, damage }] of Object.entries(damages)) {
    await context.test(title, async () => {
      await using s = await stores();
      await push(s.opened, 'whole', large('b'));
      const manifest = await push(s.opened, 'broken', large('a'));
      const digest = digestOfText(large('a'));
      await damage(fileOf(s.root, digest));
      const report = await backUp(s.root, s.copy);
      assert.deepEqual(report.faults, [{ digest, fault }]);
      assert.deepEqual(report.incomplete, [{ repository: APP, manifest, tags: ['broken'], missing: [digest] }]);
      await assert.rejects(stat(fileOf(s.copy, digest)));
      const pulled = await pullBackup(s.copy);
      assert.equal(pulled.tags, 1);
      assert.equal(pulled.faults.length, 1);
      assert.match(pulled.faults[0] ?? '', /^team\/app:broken@.* was not whole in the store: sha256:/);
      // What was lost comes back with the next push, and with the next backup.
      await rm(path.dirname(fileOf(s.root, digest)), { recursive: true });
      await writeFileAt(fileOf(s.root, digest), large('a'));
      const healed = await backUp(s.root, s.copy);
      assert.deepEqual([healed.copiedBlobs, healed.incomplete], [1, []]);
      assert.deepEqual((await pullBackup(s.copy)).faults, []);
    });
  }
});

async function writeFileAt(file: string, content: string): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, content);
}

test('a manifest that is gone or damaged is named, and in the copy where it is known and an earlier backup has it', async () => {
  for (const { isCopied, isGone } of [
    { isCopied: false, isGone: false },
    { isCopied: true, isGone: false },
    { isCopied: false, isGone: true },
  ]) {
    await using s = await stores();
    const { registry } = s.opened;
    await push(s.opened, 'v1', large('a'));
    const image = JSON.parse(imageOf('config of v1', large('a')).toString()) as object;
    // Larger than what the index keeps.
    const bytes = Buffer.from(JSON.stringify({ ...image, annotations: { filler: 'x'.repeat(70_000) } }));
    const bulky = digestOfText(bytes);
    await registry.manifests.put(manifestPush(APP, parseTag('bulky'), bytes));
    if (isCopied) await backUp(s.root, s.copy);
    // What is set aside the index still knows, what is gone it does not.
    if (isGone) await rm(fileOf(s.root, bulky));
    else await writeFile(fileOf(s.root, bulky), 'damaged');
    const asked = { digest: bulky, size: bytes.length, mediaType: '' };
    s.opened.context.cache.delete(bulky);
    await assert.rejects(registry.manifests.bytes(APP, asked), { code: 'MANIFEST_UNKNOWN' });
    const { faults, incomplete } = await backUp(s.root, s.copy);
    const lost = [{ repository: APP, manifest: bulky, tags: ['bulky'], missing: [bulky] }];
    assert.deepEqual(incomplete, isCopied ? [] : lost);
    assert.deepEqual(faults, isCopied || isGone ? [] : [{ digest: bulky, fault: 'missing' }]);
    const pulled = await pullBackup(s.copy);
    assert.deepEqual([pulled.tags, pulled.faults.length], isCopied ? [2, 0] : [1, 1], pulled.faults.join());
  }
});

test('an image index goes with a child that is not whole, and its other children stay', async () => {
  await using s = await stores();
  const whole = await push(s.opened, 'amd64', large('a'));
  const broken = await push(s.opened, 'arm64', large('b'));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const size = async (digest: Digest) => (await stat(fileOf(s.root, digest))).size;
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.index.v1+json',
      manifests: [
        { mediaType, digest: whole, size: await size(whole) },
        { mediaType, digest: broken, size: await size(broken) },
      ],
    }),
  );
  await s.opened.registry.manifests.put(manifestPush(APP, parseTag('multi'), index));
  await rm(fileOf(s.root, digestOfText(large('b'))));
  const { incomplete } = await backUp(s.root, s.copy);
  assert.deepEqual(
    new Map(incomplete.map(({ tags, missing }) => [tags.join(), missing])),
    new Map([
      ['arm64', [digestOfText(large('b'))]],
      ['multi', [broken]],
    ]),
  );
  assert.deepEqual(await readdir(path.join(s.copy, 'docker/registry/v2/repositories/team/app/_manifests/tags')), [
    'amd64',
  ]);
});

test('what somebody changes in the copy is found, and put right by the next backup', async () => {
  await using s = await stores();
  const digest = await push(s.opened, 'v1', large('a'));
  await push(s.opened, 'v2', large('b'));
  await backUp(s.root, s.copy);
  const tags = path.join(s.copy, 'docker/registry/v2/repositories/team/app/_manifests/tags');
  await rm(path.join(tags, 'v1'), { recursive: true });
  await writeFileAt(path.join(tags, 'strange/current/link'), digest);
  await rm(fileOf(s.copy, digestOfText(large('b'))));
  const { faults } = await pullBackup(s.copy);
  assert.equal(faults.length, 3, faults.join('\n'));
  assert.match(faults.join('\n'), /team\/app:v1 answered 404/);
  assert.match(faults.join('\n'), /strange, a tag of team\/app, is in the copy and not in the snapshot/);
  assert.match(faults.join('\n'), /blob sha256:.* answered 404/);
  await backUp(s.root, s.copy);
  assert.deepEqual((await pullBackup(s.copy)).faults, []);
  const damaged = fileOf(s.copy, digestOfText(large('b')));
  await writeFile(damaged, large('y'));
  for (let again = 0; again < 2; again++) {
    assert.match((await pullBackup(s.copy)).faults.join(), /has the bytes of sha256|answered 404/);
  }
  assert.equal(await readFile(damaged, 'utf8'), large('y'), 'a look at a backup changes nothing in it');
});

test('a look at a backup mends nothing in it either, though the index that it makes for itself has the right bytes', async () => {
  await using s = await stores();
  const digest = await push(s.opened, 'v1', large('a'));
  const bytes = imageOf('config of v1', large('a'));
  await pushBlob(s.opened.registry, APP, bytes.toString());
  const { snapshot } = await backUp(s.root, s.copy);
  const backup = await BackupDirectory.open(s.copy);
  await using service = await serveCopy(backup, snapshot, new AbortController().signal);
  const damaged = bytes.toString().replace('{', '[');
  await writeFile(fileOf(s.copy, digest), damaged);
  const { status } = await fetch(`${service.url}/v2/team/app/blobs/${digest}`);
  assert.equal(status, 503);
  assert.equal(await readFile(fileOf(s.copy, digest), 'utf8'), damaged);
});

test('the collection waits while a backup reads, and no longer', async () => {
  await using s = await stores({ collectionGraceMs: 0 });
  const { registry, metadata } = s.opened;
  const digest = await push(s.opened, 'v1', large('a'));
  let refused: unknown;
  const wrap = (driver: OpenedRegistry['context']['driver']) =>
    Object.assign(Object.create(driver), {
      // In the middle of the first blob everything is deleted, and collected as well as it can be.
      read: async (...args: Parameters<typeof driver.read>) => {
        if (refused === undefined) {
          await registry.repositories.delete(APP);
          refused = await registry.collection.run(async () => true);
        }
        return driver.read(...args);
      },
      list: (...args: Parameters<typeof driver.list>) => driver.list(...args),
      stat: (...args: Parameters<typeof driver.stat>) => driver.stat(...args),
      readSmall: (...args: Parameters<typeof driver.readSmall>) => driver.readSmall(...args),
      close: () => driver.close(),
    }) as typeof driver;
  const report = await backUp(s.root, s.copy, { wrap });
  assert.match(String(refused), /^a backup is being made/);
  assert.deepEqual([report.faults, report.tags], [[], 1]);
  assert.deepEqual((await pullBackup(s.copy)).faults, []);
  assert.equal(await metadata.pauses.isPaused(Date.now()), false);
  assert.equal(typeof (await registry.collection.run(async () => true)), 'object');
  await assert.rejects(stat(fileOf(s.root, digest)));
});

test('the pause of a backup that was killed runs out', async () => {
  await using s = await stores();
  const { pauses } = s.opened.metadata;
  assert.equal(await pauses.keep('one', 2000, 1000), true);
  assert.equal(await pauses.keep('two', 9000, 1500), true);
  assert.deepEqual(
    [await pauses.isPaused(1999), await pauses.isPaused(8999), await pauses.isPaused(9000)],
    [true, true, false],
  );
  assert.equal(await pauses.keep('one', 4000, 3000), false, 'it had run out');
  await pauses.end('two');
  assert.deepEqual([await pauses.isPaused(3999), await pauses.isPaused(4000)], [true, false]);
});

test('a backup that is interrupted leaves the snapshots as they are, and the next one goes on from it', async () => {
  await using s = await stores();
  await push(s.opened, 'v1', ...Array.from('abcdefghijklmnop', large));
  const controller = new AbortController();
  let reads = 0;
  const wrap = (driver: OpenedRegistry['context']['driver']) =>
    Object.assign(Object.create(driver), {
      read: async (...args: Parameters<typeof driver.read>) => {
        reads += 1;
        if (reads > 10) controller.abort(new Error('enough'));
        return driver.read(...args);
      },
      close: () => driver.close(),
    }) as typeof driver;
  await assert.rejects(backUp(s.root, s.copy, { wrap, signal: controller.signal }), /enough/);
  assert.deepEqual(await (await BackupDirectory.open(s.copy)).snapshots(), []);
  await assert.rejects(pullBackup(s.copy), /has no snapshot yet/);
  const report = await backUp(s.root, s.copy);
  assert.ok(report.copiedBlobs < report.blobs, `${report.copiedBlobs} of ${report.blobs} copied anew`);
  assert.deepEqual((await pullBackup(s.copy)).faults, []);
});

test('ids of snapshots go up when the clock goes back', async () => {
  await using s = await stores();
  const ids: string[] = [];
  for (const now of [2_000_000_000_000, 1_900_000_000_000, 2_000_000_000_000]) {
    ids.push((await backUp(s.root, s.copy, { now: () => now })).snapshot);
  }
  assert.deepEqual(ids, ['2033-05-18T033320.000Z', '2033-05-18T033320.001Z', '2033-05-18T033320.002Z']);
});

test('a backup of another form, of another store, or damaged is refused', async () => {
  await using s = await stores();
  await backUp(s.root, s.copy);
  const file = path.join(s.copy, '.meta', 'backup.json');
  const identity = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  for (const [change, expected] of [
    [{ format: 2 }, /is of a newer program \(format 2, this one knows 1\): use the version that wrote it/],
    [{ format: 'x' }, /is damaged: it names no format, root and epoch/],
    [{ root: '/srv/other', epoch: 'x' }, /is the backup of another store, \/srv\/other: choose another directory/],
  ] as const) {
    await writeFile(file, JSON.stringify({ ...identity, ...change }));
    await assert.rejects(backUp(s.root, s.copy), expected);
  }
  await writeFile(file, JSON.stringify({ ...identity, epoch: 'of an index that was deleted' }));
  await backUp(s.root, s.copy);
});
