import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { digestOf, type Digest } from '../../oci/digest.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { createMemoryDriver } from '../../storage/blobs/memory.ts';
import { blobKey, BLOBS_PREFIX } from '../../storage/layout.ts';
import { faulty, type FaultLog } from '../harness/faulty-driver.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, name, openTestRegistry, pushBlob, type OpenedRegistry } from '../harness/registry.ts';
import { smallWrite } from './blob-bytes.ts';
import { queryIndex } from './index-dump.ts';

const APP = name('team/app');
const HOUR = 3_600_000;
const breathe = async () => {};

interface Scanned extends AsyncDisposable {
  readonly store: OpenedRegistry;
  readonly driver: BlobDriver & FaultLog;
  readonly root: string;
  readonly clock: { now: number };
  /** How often the size of a single object was asked for since. */
  readonly stats: () => number;
}

/** A store in something that scans, as a bucket does. */
async function openScanned(): Promise<Scanned> {
  const directory = await temporaryDirectory();
  const driver = faulty(createMemoryDriver(), []);
  const clock = { now: 1_700_000_000_000 };
  const store = await openTestRegistry({ root: directory.path, wrap: () => driver, now: () => clock.now });
  await store.registry.maintenance.verifyTree(breathe);
  let seen = 0;
  return {
    store,
    driver,
    root: directory.path,
    clock,
    stats: () => {
      const all = driver.calls.get('stat') ?? 0;
      const since = all - seen;
      seen = all;
      return since;
    },
    [Symbol.asyncDispose]: async () => {
      await store.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/** Bytes that no row knows. */
async function plant(driver: BlobDriver, digests: readonly Digest[], text: string): Promise<void> {
  await driver.writeAll(digests.map((digest) => ({ key: blobKey(digest), bytes: Buffer.from(text) })));
}

async function recordAll({ store: { metadata } }: Scanned, digests: readonly Digest[], size: number): Promise<void> {
  await metadata.write('relaxed', async (tx) => {
    for (const digest of digests) await metadata.blobs.upsert(tx, { digest, size, now: 0, verifiedAt: 0 });
  });
}

const collect = ({ store }: Scanned) => store.registry.collection.run(async () => true);

describe('bytes that no row knows, in a store that scans', () => {
  it('are found among thousands, and only they are asked for one by one', async () => {
    await using scanned = await openScanned();
    const { store, driver, clock } = scanned;
    const known = Array.from({ length: 2_500 }, (_, number) => digestOfText(`known ${number}`));
    await plant(driver, known, 'known');
    await recordAll(scanned, known, 5);
    // Lost by the store: in the index only.
    await recordAll(scanned, [digestOfText('gone'), digestOfText('gone too')], 5);
    const sha512 = digestOf('sha512', createHash('sha512').update('lost').digest('hex'));
    await plant(driver, [digestOfText('lost'), digestOfText('lost as well'), sha512], 'lost');
    const hex = digestOfText('elsewhere').slice('sha256:'.length);
    await driver.writeAll(
      [`sha256/zz/${hex}/data`, `sha256/${hex.slice(0, 2)}/${hex}/data.part`, 'md5/aa/aa/data', 'readme'].map((path) =>
        smallWrite(`${BLOBS_PREFIX}/${path}`, 'x'),
      ),
    );
    scanned.stats();
    const left: number[] = [];
    const found = await store.registry.maintenance.findUnknownBytes(async () => void left.push(1));
    assert.deepEqual([found.looked, found.found, found.bytes], [2_503, 3, 12]);
    assert.equal(scanned.stats(), 3);
    assert.ok(left.length >= 3 && left.length <= 10, 'a pause for each page');
    assert.equal((await store.registry.maintenance.findUnknownBytes(breathe)).found, 0);
    const rows = await queryIndex(scanned.root, `SELECT digest FROM blob WHERE verified_at IS NULL ORDER BY digest`);
    assert.deepEqual(
      rows.map((row) => row['digest']),
      [digestOfText('lost'), digestOfText('lost as well'), sha512].toSorted((a, b) => (a < b ? -1 : 1)),
    );
    assert.equal((await collected(scanned)).removed, 0, 'not within the grace');
    clock.now += HOUR + 1;
    assert.equal((await collected(scanned)).removed, 3);
    assert.equal(await driver.stat(blobKey(sha512)), undefined);
  });

  it('are left to who pushes them meanwhile, whose row is as good as ever', async () => {
    await using scanned = await openScanned();
    const { store, driver } = scanned;
    const digest = digestOfText('pushed');
    // Bytes that are there without a row, and get one between the look and the record.
    await plant(driver, [digest], 'pushed');
    const stat = driver.stat.bind(driver);
    let isPushed = false;
    driver.stat = async (key) => {
      if (key === blobKey(digest) && !isPushed) {
        isPushed = true;
        await pushBlob(store.registry, APP, 'pushed');
      }
      return stat(key);
    };
    assert.equal((await store.registry.maintenance.findUnknownBytes(breathe)).found, 0);
    assert.ok(isPushed);
    assert.equal(await store.metadata.blobs.verifiedSize(digest), 6);
  });

  it('are no garbage when they are found between the bytes of a push and its row', async () => {
    await using scanned = await openScanned();
    const { store, driver } = scanned;
    const digest = digestOfText('pushed');
    const stage = driver.stage.bind(driver);
    const found: number[] = [];
    driver.stage = async (key) => {
      const staged = await stage(key);
      const commit = staged.commit.bind(staged);
      staged.commit = async (...to) => {
        const outcome = await commit(...to);
        found.push((await store.registry.maintenance.findUnknownBytes(breathe)).found);
        assert.equal((await collected(scanned)).removed, 0);
        return outcome;
      };
      return staged;
    };
    await pushBlob(store.registry, APP, 'pushed');
    assert.equal(found.length, 1);
    assert.equal((await collected(scanned)).removed, 0);
    assert.equal(await store.metadata.blobs.verifiedSize(digest), 6);
    assert.equal((await driver.stat(blobKey(digest)))?.size, 6);
  });

  it('are looked at by the rebuild as well, which asks again only for sizes that are wrong', async () => {
    await using scanned = await openScanned();
    const { store, driver } = scanned;
    const digests = Array.from({ length: 1_200 }, (_, number) => digestOfText(`known ${number}`));
    await plant(driver, digests, 'known');
    await recordAll(scanned, digests.slice(3), 5);
    await recordAll(scanned, digests.slice(0, 2), 7);
    scanned.stats();
    const done = await store.registry.maintenance.rebuildIndex(breathe);
    assert.deepEqual([done.unknownBlobs, done.unknownBytes, done.directoriesLeft], [1, 5, 0]);
    assert.equal(scanned.stats(), 3);
    const wrong = await queryIndex(scanned.root, 'SELECT digest FROM blob WHERE size <> 5');
    assert.deepEqual(wrong, []);
    const queued = await queryIndex(scanned.root, 'SELECT count(*) AS count FROM collection_queue');
    assert.equal(Number(queued[0]?.['count']), 1_200);
  });
});

async function collected(scanned: Scanned) {
  const done = await collect(scanned);
  if (typeof done === 'string') assert.fail(done);
  return done;
}
