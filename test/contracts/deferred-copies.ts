import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type {
  BlobDriver,
  CommitOutcome,
  DeferredCopies,
  Key,
  SmallWrite,
  StagedWrite,
} from '../../storage/blobs/driver.ts';
import { assertSameBytes, bytesAt, drain, keyOf, smallWrite, textAt } from './blob-bytes.ts';
import type { DriverUnderTest } from './blob-driver.ts';

const MIB = 1024 * 1024;
const DIRECTORY = 'blobs/sha256/ab/abcd';
const BLOB = `${DIRECTORY}/data`;
const STAGE = keyOf('r/_uploads/1');
const LATER = new Date(Date.now() + 3_600_000);
// More than one part.
const BYTES = randomBytes(9 * MIB);

export function deferredOf(driver: BlobDriver): DeferredCopies {
  return driver.deferred ?? assert.fail('the driver defers nothing');
}

function withLeave(staged: StagedWrite): StagedWrite {
  const commit = staged.commit.bind(staged);
  return Object.assign(staged, { commit: (key: Key, links: readonly SmallWrite[]) => commit(key, links, true) });
}

/** The same driver, with leave to defer every commit. */
export function deferring(driver: BlobDriver): BlobDriver {
  const stage = driver.stage.bind(driver);
  const resume = driver.resume.bind(driver);
  return Object.assign(driver, {
    stage: async (key: Key) => withLeave(await stage(key)),
    resume: async (key: Key) => {
      const staged = await resume(key);
      return staged && withLeave(staged);
    },
  });
}

/** Commits the bytes with leave to defer. */
export async function commitLater(
  driver: BlobDriver,
  { key = BLOB, bytes = BYTES, stage = 'r/_uploads/1' } = {},
): Promise<CommitOutcome> {
  const staged = await driver.stage(keyOf(stage));
  await staged.append([bytes]);
  return staged.commit(keyOf(key), [smallWrite('repositories/r/link', 'there')], true);
}

async function waiting(driver: BlobDriver): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const key of deferredOf(driver).list()) keys.push(key);
  return keys;
}

/** The objects below a prefix, of the server's own list. */
async function objectsBelow(driver: BlobDriver, prefix: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for await (const page of driver.scan?.(keyOf(prefix)) ?? assert.fail()) keys.push(...page.map(({ key }) => key));
  return keys;
}

/** What a store has of ours that belongs to no key. */
async function left(driver: BlobDriver): Promise<readonly string[]> {
  return [...(await objectsBelow(driver, '.meta')), ...(await objectsBelow(driver, 'r'))];
}

/** What `DeferredCopies` promises, of drivers that defer every copy that may be. */
export function describeDeferredCopies({ driver, another }: DriverUnderTest): void {
  describe('a deferred copy', () => {
    it('is found at its key by every driver before it lies there, and after', async () => {
      assert.equal(await commitLater(driver()), 'deferred');
      assert.deepEqual(await objectsBelow(driver(), 'blobs'), []);
      assert.deepEqual(await waiting(driver()), [BLOB]);
      for (const finish of [false, true]) {
        if (finish) await deferredOf(driver()).finish(keyOf(BLOB));
        for (const each of [driver(), await another()]) {
          assert.equal((await each.stat(keyOf(BLOB)))?.size, BYTES.length);
          assertSameBytes(await bytesAt(each, BLOB), BYTES);
          assertSameBytes(await bytesAt(each, BLOB, { start: MIB, end: MIB + 9 }), BYTES.subarray(MIB, MIB + 10));
          assert.equal((await each.readSmall(keyOf(BLOB), BYTES.length))?.length, BYTES.length);
          assert.equal(await textAt(each, 'repositories/r/link'), 'there');
          assert.equal(await each.resume(STAGE), undefined);
        }
      }
      assert.deepEqual(await objectsBelow(driver(), 'blobs'), [BLOB]);
      assert.deepEqual(await left(driver()), []);
      assert.deepEqual(await waiting(driver()), []);
      await deferredOf(driver()).finish(keyOf(BLOB));
      assertSameBytes(await bytesAt(driver(), BLOB), BYTES);
    });

    it('is finished by another driver, and a read that began before comes to its end', async () => {
      await commitLater(driver());
      const reader = (await driver().read(keyOf(BLOB))) ?? assert.fail();
      assert.equal(reader.object.size, BYTES.length);
      await deferredOf(await another()).finish(keyOf(BLOB));
      assertSameBytes(await drain(reader), BYTES);
    });

    it('is not what becomes of bytes for a key that has some already: they are replaced at once', async () => {
      await driver().writeAll([smallWrite(BLOB, 'wrong')]);
      assert.equal(await commitLater(driver()), 'placed');
      assertSameBytes(await bytesAt(driver(), BLOB), BYTES);
      assert.deepEqual(await waiting(driver()), []);
    });

    it('does not replace what was written to the key since', async () => {
      await commitLater(driver());
      await driver().writeAll([smallWrite(BLOB, 'newer')]);
      assert.equal(await textAt(driver(), BLOB), 'newer');
      await deferredOf(driver()).finish(keyOf(BLOB));
      assert.equal(await textAt(driver(), BLOB), 'newer');
      assert.deepEqual(await left(driver()), []);
    });

    it('may be of the same bytes as another one, and both leave nothing', async () => {
      await commitLater(driver());
      assert.equal(await commitLater(driver(), { stage: 'r/_uploads/2' }), 'deferred');
      assert.deepEqual(await waiting(driver()), [BLOB]);
      assertSameBytes(await bytesAt(driver(), BLOB), BYTES);
      await deferredOf(driver()).finish(keyOf(BLOB));
      assertSameBytes(await bytesAt(driver(), BLOB), BYTES);
      assert.deepEqual(await left(driver()), []);
    });

    for (const key of [BLOB, DIRECTORY, 'blobs']) {
      it(`is deleted with ${key}, and leaves nothing`, async () => {
        await commitLater(driver());
        await commitLater(driver(), { key: 'blobs2/data', stage: 'r/_uploads/2' });
        await driver().delete([keyOf(key)]);
        assert.equal(await driver().stat(keyOf(BLOB)), undefined);
        assert.equal(await driver().read(keyOf(BLOB)), undefined);
        assert.deepEqual(await waiting(driver()), ['blobs2/data']);
        await deferredOf(driver()).finish(keyOf(BLOB));
        assert.equal(await driver().stat(keyOf(BLOB)), undefined);
        await deferredOf(driver()).finish(keyOf('blobs2/data'));
        assert.deepEqual(await left(driver()), []);
        assertSameBytes(await bytesAt(driver(), 'blobs2/data'), BYTES);
      });
    }

    it('stays when the repository that it was pushed to is deleted', async () => {
      await commitLater(driver());
      await driver().delete([keyOf('r'), keyOf('repositories/r')]);
      await driver().removeAbandoned(LATER);
      assertSameBytes(await bytesAt(driver(), BLOB), BYTES);
    });

    it('is set aside from where it lies', async () => {
      await commitLater(driver());
      await driver().setAside(keyOf(BLOB), keyOf('aside/one'));
      assert.equal(await driver().stat(keyOf(BLOB)), undefined);
      assertSameBytes(await bytesAt(driver(), 'aside/one'), BYTES);
      assert.deepEqual(await left(driver()), []);
    });

    it('is no abandoned write, however old', async () => {
      await commitLater(driver());
      assert.equal(await driver().removeAbandoned(LATER), 0);
      assertSameBytes(await bytesAt(driver(), BLOB), BYTES);
      assert.deepEqual(await waiting(driver()), [BLOB]);
    });

    it('is what a stage may be that was made one object: until then it is not abandoned', async () => {
      const staged = await driver().stage(STAGE);
      await staged.append([BYTES]);
      // To be read it becomes an object.
      assertSameBytes(await drain(await staged.read()), BYTES);
      await staged.detach();
      const other = await another();
      assert.equal(await other.removeAbandoned(LATER), 0);
      const resumed = (await other.resume(STAGE)) ?? assert.fail();
      assert.equal(resumed.size, BYTES.length);
      assert.equal(await resumed.commit(keyOf(BLOB), [], true), 'deferred');
      await deferredOf(other).finish(keyOf(BLOB));
      assertSameBytes(await bytesAt(driver(), BLOB), BYTES);
      assert.deepEqual(await left(driver()), []);
    });
  });
}
