import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { createHash } from 'node:crypto';
import { parseDigest } from '../../oci/digest.ts';
import { parseTag } from '../../oci/names.ts';
import type { Registry } from '../../registry/registry.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { blobKey, BLOBS_PREFIX } from '../../storage/layout.ts';
import { indexKind } from '../harness/index-kind.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { dumpIndex, queryIndex, tamper } from './index-dump.ts';

const HOUR = 3_600_000;
const ONE = name('team/one');
const TWO = name('team/two');
const V1 = parseTag('v1');
const breathe = async () => {};
// True for about half of the rows, whether chance is a number of 64 bits or one between 0 and 1.
const BY_CHANCE = 'CAST(random() * 1000000 AS BIGINT) % 2 = 0';

/** Two repositories that share blobs: an image, what is attached to it, and an index of it. */
async function fill({ uploads, manifests }: Registry): Promise<void> {
  const push = (repository: typeof ONE, content: string) =>
    uploads.pushWhole(repository, digestOfText(content), { range: undefined, length: undefined }, bodyOf(content));
  for (const repository of [ONE, TWO]) for (const blob of ['{}', 'shared', 'other']) await push(repository, blob);
  const image = imageOf('{}', 'shared', 'other');
  await manifests.put(manifestPush(ONE, V1, imageOf('{}', 'shared')));
  await manifests.put(manifestPush(ONE, V1, image));
  await manifests.put(manifestPush(TWO, V1, imageOf('{}', 'other')));
  const subject = {
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digestOfText(image),
    size: image.length,
  };
  const attached = { ...(JSON.parse(imageOf('{}', 'shared').toString()) as object), subject, annotations: { a: 'b' } };
  await manifests.put(manifestPush(ONE, parseTag('attached'), Buffer.from(JSON.stringify(attached))));
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [subject],
  };
  await manifests.put(manifestPush(ONE, parseTag('all'), Buffer.from(JSON.stringify(index))));
}

async function* bodyOf(text: string) {
  yield [Buffer.from(text)];
}

/** A registry over a full tree, compared with its index. */
async function openFull(root: string) {
  const clock = { now: Date.parse('2026-06-01T00:00:00Z') };
  const opened = await openTestRegistry({ root, now: () => clock.now });
  const { registry } = opened;
  await fill(registry);
  await registry.maintenance.verifyTree(breathe);
  await registry.maintenance.rebuildIndex(breathe);
  const rebuild = () => registry.maintenance.rebuildIndex(breathe);
  return { ...opened, clock, rebuild };
}

describe('index rebuild', () => {
  it('changes nothing where the index is right', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openFull(directory.path);
    const before = await queryIndex(directory.path, 'SELECT * FROM manifest');
    const { corrected, objects, repositories, failed, unknownBlobs } = await store.rebuild();
    assert.deepEqual(
      { corrected, repositories, failed, unknownBlobs },
      { corrected: 0, repositories: 2, failed: 0, unknownBlobs: 0 },
    );
    // 5 manifests, 6 links and 4 tags, and 8 blobs in the store.
    assert.equal(objects, 5 + 6 + 4 + 8);
    assert.deepEqual(await queryIndex(directory.path, 'SELECT * FROM manifest'), before);
  });

  for (const table of ['repository', 'blob', 'repository_blob', 'manifest', 'manifest_reference', 'tag'])
    it(`brings back what is gone from ${table}`, async () => {
      await using directory = await temporaryDirectory();
      await using store = await openFull(directory.path);
      const before = await dumpIndex(directory.path);
      for (let round = 0; round < 5; round++) {
        await tamper(directory.path, `DELETE FROM ${table} WHERE ${BY_CHANCE}`);
        await store.rebuild();
        assert.deepEqual(await dumpIndex(directory.path), before);
      }
      await tamper(directory.path, `DELETE FROM ${table}`);
      assert.notDeepEqual(await dumpIndex(directory.path), before);
      const { corrected, removedRows, failed } = await store.rebuild();
      assert.ok(corrected > 0 && failed === 0);
      assert.deepEqual(await dumpIndex(directory.path), before);
      // Nothing is left to do, and nothing is left over.
      const again = await store.rebuild();
      assert.deepEqual([again.corrected, again.removedRows], [0, 0], `${removedRows} rows the first time`);
      assert.equal(
        (await store.registry.manifests.get(ONE, { tag: V1 })).digest,
        digestOfText(imageOf('{}', 'shared', 'other')),
      );
      assert.equal(await store.metadata.holds.because(), undefined);
    });

  const wrong = {
    'what a manifest is': `UPDATE manifest SET media_type = 'text/plain', artifact_type = 'wrong', subject = NULL`,
    'how large it is': 'UPDATE manifest SET size = size + 1',
    'its bytes': `UPDATE manifest SET bytes = x'00'`,
    'its annotations': `UPDATE manifest SET annotations = '{"a":'`,
    'where an edge leads': `UPDATE manifest_reference SET digest = 'sha256:' || substr(digest, 40, 32) || substr(digest, 8, 32) WHERE kind = 'layer'`,
    'whose an edge is': 'UPDATE manifest_reference SET repository_id = repository_id + 1',
    'what an edge means': `UPDATE manifest_reference SET kind = 'subject' WHERE kind = 'config'`,
    'what a manifest does not need': `INSERT INTO manifest_reference SELECT id, repository_id, 'layer', 'sha256:${'1'.repeat(64)}' FROM manifest`,
    'where a tag points':
      'UPDATE tag SET manifest_id = (SELECT min(m.id) FROM manifest m WHERE m.repository_id = tag.repository_id)',
    'that there is a tag': `INSERT INTO tag SELECT repository_id, 'nowhere', min(id), 1, 1 FROM manifest GROUP BY repository_id`,
    'how large a blob is': 'UPDATE blob SET size = size + 1',
    'what a repository takes': 'UPDATE repository SET bytes = 1',
    'that nothing is committed': `UPDATE manifest SET state = 'pending'`,
    'what a repository does not have':
      'INSERT INTO repository_blob SELECT r.id, b.id, 1 FROM repository r, blob b WHERE true ON CONFLICT DO NOTHING',
  };
  for (const [what, statement] of Object.entries(wrong))
    it(`corrects ${what}`, async () => {
      await using directory = await temporaryDirectory();
      await using store = await openFull(directory.path);
      const before = await dumpIndex(directory.path);
      await tamper(directory.path, statement);
      assert.notDeepEqual(await dumpIndex(directory.path), before);
      await store.rebuild();
      assert.deepEqual(await dumpIndex(directory.path), before);
    });

  it('keeps what only the index knows of what the tree has', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openFull(directory.path);
    const kept = async () => ({
      manifests: await queryIndex(directory.path, 'SELECT id, digest, pushed_at, pulled_at FROM manifest ORDER BY id'),
      tags: await queryIndex(directory.path, 'SELECT name, version, updated_at FROM tag ORDER BY name'),
      history: await queryIndex(directory.path, 'SELECT * FROM tag_history ORDER BY id'),
      verified: await queryIndex(
        directory.path,
        'SELECT b.digest, b.verified_at FROM blob b WHERE NOT EXISTS (SELECT 1 FROM manifest m WHERE m.digest = b.digest) ORDER BY b.digest',
      ),
    });
    await tamper(directory.path, 'UPDATE manifest SET pulled_at = 12345 + id');
    const before = await kept();
    assert.ok(before.history.length > 4 && before.tags.some(({ version }) => version === 2));
    await tamper(
      directory.path,
      `UPDATE manifest SET media_type = 'text/plain'`,
      'DELETE FROM repository_blob',
      'DELETE FROM manifest_reference',
    );
    store.clock.now += HOUR;
    await store.rebuild();
    assert.deepEqual(await kept(), before);
    // What was hashed had another size.
    const digest = digestOfText('shared');
    await tamper(directory.path, `UPDATE blob SET size = 1 WHERE digest = '${digest}'`);
    await store.rebuild();
    assert.deepEqual(
      (await queryIndex(directory.path, 'SELECT digest FROM blob WHERE verified_at IS NULL')).map(
        (row) => row['digest'],
      ),
      [digest],
    );
  });

  it('believes the tree where the index is an older one', async () => {
    await using directory = await temporaryDirectory();
    await (await openFull(directory.path))[Symbol.asyncDispose]();
    const putBack = await indexKind().keep(directory.path);
    let before;
    {
      await using store = await openTestRegistry({ root: directory.path });
      const { registry } = store;
      await pushBlob(registry, name('new'), '{}');
      await registry.manifests.put(manifestPush(name('new'), V1, imageOf('{}')));
      await registry.manifests.put(manifestPush(ONE, parseTag('all'), imageOf('{}', 'other')));
      await registry.manifests.delete(TWO, digestOfText(imageOf('{}', 'other')), EVERYTHING);
      await registry.maintenance.rebuildIndex(breathe);
      before = await dumpIndex(directory.path);
    }
    await putBack();
    await using store = await openTestRegistry({ root: directory.path });
    assert.notDeepEqual(await dumpIndex(directory.path), before);
    await store.registry.maintenance.rebuildIndex(breathe);
    assert.deepEqual(await dumpIndex(directory.path), before);
    assert.ok(await store.metadata.collection.isWholeTreeKnown(store.context.run));
  });

  it('makes a deleted index anew, and nothing that is needed is taken for garbage', async () => {
    await using directory = await temporaryDirectory();
    let before;
    {
      await using store = await openFull(directory.path);
      before = await dumpIndex(directory.path);
      store.clock.now += 0;
    }
    await indexKind().remove(directory.path);
    await using store = await openTestRegistry({ root: directory.path });
    const { corrected } = await store.registry.maintenance.rebuildIndex(breathe);
    assert.equal(corrected, 5 + 6 + 4);
    assert.deepEqual(await dumpIndex(directory.path), before);
    // Only what no manifest of its repository needs is looked at.
    assert.deepEqual(
      (await queryIndex(directory.path, 'SELECT digest FROM collection_queue')).map((row) => row['digest']),
      [digestOfText('shared')],
      'the second repository has it for nothing',
    );
  });
});

async function plantBytes(root: string, digest: string, bytes: string): Promise<void> {
  const file = path.join(root, blobKey(parseDigest(digest)));
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, bytes);
}

describe('bytes that no row knows', () => {
  const sha512 = `sha512:${createHash('sha512').update('lost too').digest('hex')}`;

  for (const by of ['the rebuild', 'the search after a start'] as const)
    it(`are found by ${by}, and collected after the grace`, async () => {
      await using directory = await temporaryDirectory();
      await using store = await openFull(directory.path);
      const { maintenance, collection } = store.registry;
      await plantBytes(directory.path, digestOfText('lost'), 'lost');
      await plantBytes(directory.path, sha512, 'lost too');
      // In no place of a blob, and no blob.
      const elsewhere = path.join(directory.path, path.dirname(path.dirname(blobKey(digestOfText('x')))));
      await mkdir(path.join(elsewhere, digestOfText('lost').slice(7)), { recursive: true });
      await mkdir(path.join(elsewhere, 'lost+found'), { recursive: true });
      const found =
        by === 'the rebuild'
          ? await store.rebuild().then((done) => [done.unknownBlobs, done.unknownBytes])
          : await maintenance.findUnknownBytes(breathe).then((done) => [done.found, done.bytes]);
      assert.deepEqual(found, [2, 12]);
      const verified = await queryIndex(directory.path, `SELECT verified_at FROM blob WHERE digest = '${sha512}'`);
      assert.deepEqual(
        verified.map((row) => row['verified_at']),
        [null],
      );
      assert.deepEqual((await maintenance.findUnknownBytes(breathe)).found, 0);
      assert.equal((await collect(collection)).removed, 0, 'not within the grace');
      store.clock.now += HOUR + 1;
      const { removed, bytes } = await collect(collection);
      assert.deepEqual([removed, bytes], [2, 12]);
      assert.equal((await maintenance.findUnknownBytes(breathe)).found, 0);
      assert.equal((await store.rebuild()).corrected, 0);
    });

  it('are not believed when they are pushed', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openFull(directory.path);
    // Half of a file that somebody left behind.
    await plantBytes(directory.path, digestOfText('whole'), 'who');
    await store.registry.maintenance.findUnknownBytes(breathe);
    const digest = await pushBlob(store.registry, ONE, 'whole');
    assert.equal((await store.context.driver.stat(blobKey(digest)))?.size, 5);
  });

  it('are suspected when a change fails, until they were looked for', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openFull(directory.path);
    const { maintenance } = store.registry;
    assert.equal(await maintenance.mayHaveUnknownBytes(), false);
    const { driver } = store.context;
    const write = driver.writeAll.bind(driver);
    driver.writeAll = async (writes) => {
      await write(writes.filter(({ key }) => key.startsWith(BLOBS_PREFIX)));
      throw new Error('the link could not be written');
    };
    const push = manifestPush(ONE, parseTag('failing'), imageOf('{}'));
    await assert.rejects(store.registry.manifests.put(push), /the link could not be written/);
    driver.writeAll = write;
    assert.ok(await maintenance.mayHaveUnknownBytes());
    await maintenance.verifyDoubted(breathe);
    // Another one fails while it is looked.
    const first = await maintenance.findUnknownBytes(async () => {
      await tamper(directory.path, `UPDATE state SET value = 'another' WHERE key = 'bytes-doubted'`);
    });
    assert.deepEqual([first.found, await maintenance.mayHaveUnknownBytes()], [1, true]);
    await maintenance.findUnknownBytes(breathe);
    assert.equal(await maintenance.mayHaveUnknownBytes(), false);
  });

  it('is what a queue that was lost leaves behind: the rebuild queues what nothing needs', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openFull(directory.path);
    await pushBlob(store.registry, TWO, 'nobody needs this');
    await tamper(directory.path, 'DELETE FROM collection_queue');
    store.clock.now += 2 * HOUR;
    assert.equal((await collect(store.registry.collection)).examined, 0);
    await store.rebuild();
    store.clock.now += 2 * HOUR;
    const { removed, unlinked } = await collect(store.registry.collection);
    assert.deepEqual([removed, unlinked], [1, 1]);
  });
});

async function collect(collection: Registry['collection']) {
  const collected = await collection.run(async () => true);
  return typeof collected === 'string' ? assert.fail(collected) : collected;
}
