import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import type { Digest } from '../../oci/digest.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { pushBlob, type OpenedRegistry } from '../harness/registry.ts';
import { APP, CheckedStore } from './fscked.ts';

const DAY = 24 * 3_600_000;
const noPace = async () => {};

async function verifiedAt({ metadata }: OpenedRegistry, digest: Digest) {
  return (await metadata.integrity.find(digest))?.verifiedAt;
}

/** Which driver calls were made, in their order: of reads, the key. */
function watched(calls: string[]) {
  return (driver: BlobDriver): BlobDriver =>
    new Proxy(driver, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return (...all: unknown[]) => {
          if (key === 'read') calls.push(`sha256:${String(all[0]).split('/').at(-2)}`);
          if (key === 'flush') calls.push('flush');
          return (value as (...args: unknown[]) => unknown).apply(target, all);
        };
      },
    });
}

describe('the scrubber', () => {
  it('leaves what was hashed a while ago, reads the oldest first, and says when it was through', async () => {
    await using store = await CheckedStore.create();
    const clock = { now: Date.now() };
    const calls: string[] = [];
    await using opened = await store.open({ now: () => clock.now, wrap: watched(calls) });
    const { integrity } = opened.registry;
    await integrity.scrub(noPace);
    assert.deepEqual(calls, []);
    const { large, small } = store.sample;
    await store.execute(`UPDATE blob SET verified_at = verified_at - ${25 * DAY} WHERE digest = '${small}'`);
    await store.execute(`UPDATE blob SET verified_at = verified_at - ${26 * DAY} WHERE digest = '${large}'`);
    assert.equal((await integrity.scrubStatus()).due, 2);
    const passed: number[] = [];
    await integrity.scrub(async (bytes) => void passed.push(bytes));
    assert.deepEqual(calls, [large, small]);
    assert.ok(passed.every((bytes) => bytes <= 256 * 1024));
    assert.equal(await verifiedAt(opened, large), clock.now);
    const { due, quarantined, lastPass, wholeAt } = await integrity.scrubStatus();
    assert.deepEqual({ due, quarantined }, { due: 0, quarantined: 0 });
    assert.deepEqual([lastPass?.blobs, lastPass?.bytes, lastPass?.damaged], [2, 300_005, 0]);
    assert.equal(wholeAt, new Date(clock.now).toISOString());
    clock.now += 31 * DAY;
    await integrity.scrub(noPace);
    assert.equal((await integrity.scrubStatus()).lastPass?.blobs, 5, 'manifests are content as well');
  });

  it('puts on the disk what another server wrote before it calls that verified', async () => {
    await using store = await CheckedStore.create();
    const calls: string[] = [];
    await using opened = await store.open({ wrap: watched(calls) });
    await opened.metadata.blobs.forgetVerified();
    await opened.registry.integrity.scrub(noPace);
    assert.equal(calls.length, 6);
    assert.equal(calls.at(-1), 'flush');
    assert.notEqual(await verifiedAt(opened, store.sample.large), undefined);
    await opened.registry.integrity.scrub(noPace);
    assert.equal(calls.length, 6, 'once');
  });

  it('goes on after a stop where it was, and calls nothing verified that it did not come to', async () => {
    await using store = await CheckedStore.create();
    const calls: string[] = [];
    {
      await using opened = await store.open({ wrap: watched(calls) });
      await store.execute(`UPDATE blob SET verified_at = ${Date.now() - 60 * DAY} + id`);
      const stop = new Error('stopped');
      const pace = async () => {
        if (calls.length === 3) throw stop;
      };
      await assert.rejects(opened.registry.integrity.scrub(pace), stop);
      assert.equal((await opened.registry.integrity.scrubStatus()).pass?.blobs, 2);
    }
    await using opened = await store.open({ wrap: watched(calls) });
    await opened.registry.integrity.scrub(noPace);
    assert.equal(calls.length, 6);
    assert.equal(new Set(calls).size, 5, 'only the one that it was at is read again');
    assert.equal((await opened.registry.integrity.scrubStatus()).lastPass?.blobs, 5);
  });

  it('sets aside what is damaged or gone, repairs a manifest, and counts it', async () => {
    await using store = await CheckedStore.create();
    const { small, large, largeText, manifest } = store.sample;
    await writeFile(store.blob(small), 'other');
    await rm(store.blob(large));
    await writeFile(store.blob(manifest), '{}');
    const seen = { scrubbed: 0, damaged: 0 };
    await using opened = await store.open();
    Object.assign(opened.context, {
      integrityObserver: {
        scrubbed: (bytes: number) => (seen.scrubbed += bytes),
        damaged: () => (seen.damaged += 1),
      },
    });
    await opened.metadata.blobs.forgetVerified();
    await opened.registry.integrity.scrub(noPace);
    const { lastPass, quarantined } = await opened.registry.integrity.scrubStatus();
    assert.deepEqual([lastPass?.damaged, quarantined, seen.damaged], [3, 2, 3]);
    assert.equal(seen.scrubbed, lastPass?.bytes);
    await pushBlob(opened.registry, APP, largeText);
    await pushBlob(opened.registry, APP, 'small');
    assert.equal((await opened.registry.integrity.scrubStatus()).quarantined, 0);
  });

  it('is held up by nothing that it cannot read', async () => {
    await using store = await CheckedStore.create();
    const { StorageError } = await import('../../storage/blobs/driver.ts');
    const wrap = (driver: BlobDriver): BlobDriver =>
      new Proxy(driver, {
        get(target, key) {
          const value: unknown = Reflect.get(target, key);
          if (typeof value !== 'function') return value;
          if (key !== 'read') return value.bind(target) as unknown;
          return async (...all: Parameters<BlobDriver['read']>) => {
            if (String(all[0]).includes(store.sample.small.slice(7))) throw new StorageError('unavailable', 'EIO');
            return target.read(...all);
          };
        },
      });
    await using opened = await store.open({ wrap });
    await opened.metadata.blobs.forgetVerified();
    await opened.registry.integrity.scrub(noPace);
    const first = await opened.registry.integrity.scrubStatus();
    const { lastPass, due, quarantined, wholeAt } = first;
    assert.deepEqual([lastPass?.blobs, lastPass?.unreadable, due, quarantined], [4, 1, 1, 0]);
    assert.equal(wholeAt, undefined, 'not all of it was hashed');
    await opened.registry.integrity.scrub(noPace);
    assert.deepEqual(await opened.registry.integrity.scrubStatus(), first, 'the last pass stays the one that it was');
  });

  it('reads a blob once whose row has another size', async () => {
    await using store = await CheckedStore.create();
    const calls: string[] = [];
    await using opened = await store.open({ wrap: watched(calls) });
    await opened.registry.maintenance.verifyTree(async () => {});
    await store.execute(`UPDATE blob SET size = size + 1, verified_at = NULL WHERE digest = '${store.sample.large}'`);
    for (let i = 0; i < 2; i++) await opened.registry.integrity.scrub(noPace);
    assert.deepEqual(
      calls.filter((call) => call !== 'flush'),
      [store.sample.large],
    );
    await assert.rejects(
      opened.registry.blobs.openWhole(APP, await opened.registry.blobs.get(APP, store.sample.large)),
      { failure: 'truncated' },
    );
  });

  it('reads nothing where that is not wanted', async () => {
    await using store = await CheckedStore.create();
    const calls: string[] = [];
    await using opened = await store.open({ wrap: watched(calls), settings: { scrubEveryMs: undefined } });
    await opened.metadata.blobs.forgetVerified();
    await opened.registry.integrity.scrub(noPace);
    assert.deepEqual(calls, []);
    assert.equal((await opened.registry.integrity.scrubStatus()).due, 0);
  });
});
