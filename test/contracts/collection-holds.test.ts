import assert from 'node:assert/strict';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { blobKey, EPOCH_KEY, layerLinkKey } from '../../storage/layout.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';

const HOUR = 3_600_000;
const ONE = name('team/one');
const V1 = parseTag('v1');
const START = Date.parse('2026-06-01T00:00:00Z');
const noPause = async () => {};
const goOn = async () => true;

const found = (n: number) => ({ reason: `reason ${n}`, by: undefined, since: n });

describe('a hold of the collection', () => {
  it('is not over because another one is: each is released by itself', async () => {
    await using directory = await temporaryDirectory();
    const images = ['first', 'second'].map((layer) => imageOf('{}', layer));
    {
      await using store = await openTestRegistry({ root: directory.path, now: () => START });
      for (const blob of ['{}', 'first', 'second']) await pushBlob(store.registry, ONE, blob);
      for (const image of images) await store.registry.manifests.put(manifestPush(ONE, V1, image));
      // With them a damaged manifest would be whole again.
      await store.metadata.write('relaxed', (tx) => tx.run('UPDATE manifest SET bytes = NULL'));
    }
    const files = images.map((image) => path.join(directory.path, blobKey(digestOfText(image))));
    const [file = ''] = files;
    const whole = await readFile(file);
    for (const each of files) await truncate(each, 10);
    await using store = await openTestRegistry({ root: directory.path, now: () => START + 3 * HOUR });
    const { collection } = store.registry;
    await store.registry.maintenance.verifyTree(noPause);
    const { holds } = await collection.status();
    assert.equal(holds.length, 2, 'each damaged manifest is a reason of its own');
    assert.deepEqual(new Set(holds.map(({ by, since }) => [by, since].join())), new Set([`,${START + 3 * HOUR}`]));
    await writeFile(file, whole);
    const [image = Buffer.of()] = images;
    const [over] = holds.filter(({ reason }) => reason.includes(digestOfText(image)));
    assert.deepEqual(await collection.release([over?.id ?? '']), [over]);
    const refused = await collection.run(goOn);
    assert.match(JSON.stringify(refused), new RegExp(`^"held: manifest ${digestOfText(images[1] ?? '')} of `));
    assert.notEqual(await store.context.driver.stat(blobKey(digestOfText('second'))), undefined);
    await collection.release();
    assert.deepEqual((await collection.status()).holds, []);
  });

  it('is not needed where another registry has begun to work on the tree: nothing is removed by itself', async () => {
    await using directory = await temporaryDirectory();
    let now = START;
    await using store = await openTestRegistry({ root: directory.path, now: () => now });
    const { collection } = store.registry;
    await store.registry.maintenance.verifyTree(noPause);
    const digest = await pushBlob(store.registry, ONE, 'nobody needs this');
    now += 3 * HOUR;
    const { driver } = store.context;
    const own = (await driver.readSmall(EPOCH_KEY, 100)) ?? assert.fail();
    await driver.writeAll([{ key: EPOCH_KEY, bytes: Buffer.from('of an index of its own') }]);
    assert.match(JSON.stringify(await collection.run(goOn)), /^"another registry/);
    assert.match((await collection.status()).refusal ?? '', /^another registry/);
    assert.notEqual(await driver.stat(blobKey(digest)), undefined);
    await driver.writeAll([{ key: EPOCH_KEY, bytes: own }]);
    assert.equal((await collection.status()).refusal, undefined);
    await collection.run(goOn);
    assert.equal(await driver.stat(blobKey(digest)), undefined);
  });

  it('is there once for each who wants it, and is never one that was released', async () => {
    await using directory = await temporaryDirectory();
    let now = START;
    await using store = await openTestRegistry({ root: directory.path, now: () => now++ });
    const { collection } = store.registry;
    for (const by of ['alice', 'bob', 'alice']) await collection.hold('a move', by);
    const before = await collection.status();
    assert.deepEqual(
      before.holds.map(({ by }) => by),
      ['alice', 'bob'],
    );
    assert.match(before.refusal ?? '', /^held: a move; look at it/);
    await collection.release(before.holds.map(({ id }) => id));
    await collection.hold('a move', 'alice');
    // Who still has the old list in front of them releases nothing by it.
    assert.deepEqual(await collection.release(before.holds.map(({ id }) => id)), []);
    assert.equal((await collection.status()).holds.length, 1);
  });

  it('says so where there are too many to be listed', async () => {
    await using directory = await temporaryDirectory();
    await using store = await openTestRegistry({ root: directory.path });
    const { holds } = store.metadata;
    for (let n = 0; n < 300; n++) await store.metadata.write('relaxed', (tx) => holds.add(tx, found(n)));
    const listed = await holds.list();
    assert.equal(listed.length, 101);
    assert.match(listed.at(-1)?.reason ?? '', /more of this kind was found than is listed/);
    assert.equal(await holds.because(), 'reason 0; reason 1; reason 2; and 98 more');
    await store.registry.collection.hold('and an operator', 'alice');
    assert.equal((await holds.list()).length, 102);
  });

  it('that comes between two steps of the collection ends it there', async () => {
    await using directory = await temporaryDirectory();
    let now = START;
    await using store = await openTestRegistry({ root: directory.path, now: () => now });
    const { registry, metadata, context } = store;
    await registry.maintenance.verifyTree(noPause);
    const image = imageOf('{}', 'layer');
    for (const blob of ['{}', 'layer', 'loose']) await pushBlob(registry, ONE, blob);
    await registry.manifests.put(manifestPush(ONE, V1, image));
    await registry.manifests.delete(ONE, digestOfText(image), EVERYTHING);
    const digests = ['{}', 'layer', 'loose', image].map(digestOfText);
    now += 2 * HOUR;
    // After the unlinking, after the condemnation: whatever was decided before, the next transaction sees it.
    for (const step of ['unneededLinks', 'condemn'] as const) {
      const { collection } = metadata;
      const original = collection[step].bind(collection) as (...args: unknown[]) => Promise<unknown>;
      let isHeld = false;
      Object.assign(collection, {
        [step]: async (...args: unknown[]) => {
          const result = await original(...args);
          if (!isHeld && (step !== 'condemn' || result === true)) {
            isHeld = true;
            const hold = { reason: 'now', by: 'alice', since: now };
            if (step === 'condemn') await metadata.holds.add(args[0] as Parameters<typeof metadata.holds.add>[0], hold);
            else await registry.collection.hold('now', 'alice');
          }
          return result;
        },
      });
      const collected = await registry.collection.run(goOn);
      Object.assign(collection, { [step]: original });
      assert.ok(isHeld, step);
      assert.equal(typeof collected === 'string' ? -1 : collected.removed, 0, `${step}: ${JSON.stringify(collected)}`);
      for (const digest of digests) {
        assert.notEqual(await context.driver.stat(blobKey(digest)), undefined, step);
        if (step === 'condemn' || digest === digestOfText(image)) continue;
        assert.notEqual(await context.driver.stat(layerLinkKey(ONE, digest)), undefined, 'the link of it as well');
      }
      assert.match(JSON.stringify(await registry.collection.run(goOn)), /^"held: now; /);
      await registry.collection.release();
    }
    const collected = await registry.collection.run(goOn);
    assert.equal(typeof collected === 'string' ? -1 : collected.removed, 4);
  });
});
