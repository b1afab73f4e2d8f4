import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { exclusively, COLLECTING } from '../../registry/exclusive.ts';
import { changing } from '../../registry/intents.ts';
import { giveUpLeases, join } from '../../registry/term.ts';
import { parseTag } from '../../oci/names.ts';
import { openPostgresMetadata } from '../../storage/metadata/metadata.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { blobKey } from '../../storage/layout.ts';
import { bodyOf, digestOfText, name, NO_CLAIM, pushBlob } from '../harness/registry.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { until } from '../http/until.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';
import { letRunOut, openReplica, type OpenedReplica } from './replica-registry.ts';

const MARGIN_MS = 5_000;
const LASTS_MS = 15_000;
const repository = name('team/app');
const subjects = [{ tag: parseTag('latest') }] as const;
const isGivenUp = { name: 'StorageError', message: /given up/ };

describe('processes that work on one store', { skip: missingPostgres }, () => {
  let postgres: PostgresServer;
  let database: PostgresOptions;
  before(async () => (postgres = await PostgresServer.start()));
  beforeEach(async () => (database = await postgres.database()));
  after(() => postgres[Symbol.asyncDispose]());

  /** A store that two of them work on. */
  async function openTwo() {
    await using opened = new AsyncDisposableStack();
    const directory = opened.use(await temporaryDirectory());
    const one = opened.use(await openReplica({ root: directory.path, database, name: 'one/0' }));
    const two = opened.use(await openReplica({ root: directory.path, database, name: 'two/0' }));
    const kept = opened.move();
    return { one, two, root: directory.path, [Symbol.asyncDispose]: () => kept.disposeAsync() };
  }

  it('share a run as long as one of them is there, and the next begins another', async () => {
    await using directory = await temporaryDirectory();
    const open = (of: string) => openReplica({ root: directory.path, database, name: of });
    const one = await open('one/0');
    const { run } = one.keeper;
    const two = await open('two/0');
    assert.equal(two.keeper.run, run);
    await one[Symbol.asyncDispose]();
    const three = await open('three/0');
    assert.equal(three.keeper.run, run);
    assert.equal((await three.metadata.replicas.living()).map(({ id }) => id).join(), 'two/0,three/0');
    await two[Symbol.asyncDispose]();
    await three[Symbol.asyncDispose]();
    await using four = await open('four/0');
    assert.notEqual(four.keeper.run, run);
    assert.equal(await four.metadata.state.get('run'), four.keeper.run);
  });

  it('wait for the first of them to make the store ready', async () => {
    await using directory = await temporaryDirectory();
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
    const first = openReplica({
      root: directory.path,
      database,
      name: 'one/0',
      wrap: (driver) => {
        const readSmall: typeof driver.readSmall = async (key, maxBytes) => {
          await mayGoOn;
          return driver.readSmall(key, maxBytes);
        };
        return new Proxy(driver, {
          get: (target, key) => {
            const value: unknown = key === 'readSmall' ? readSmall : Reflect.get(target, key);
            return typeof value === 'function' ? value.bind(target) : value;
          },
        });
      },
    });
    await until('the first', async () => {
      const opened = await openReplicaRows(database);
      return opened.length === 1;
    });
    let isSecondThere = false;
    const second = openReplica({ root: directory.path, database, name: 'two/0' }).then((opened) => {
      isSecondThere = true;
      return opened;
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(isSecondThere, false);
    goOn();
    const [one, two] = await Promise.all([first, second]);
    assert.equal(one.keeper.run, two.keeper.run);
    await one[Symbol.asyncDispose]();
    await two[Symbol.asyncDispose]();
  });

  it('make the store ready in place of one that died at it, while they wait', async () => {
    await using directory = await temporaryDirectory();
    const metadata = await openPostgresMetadata(database);
    const dead = await join(metadata, { id: 'dead/0', host: 'dead' }, 15_000);
    assert.equal(dead?.isFirst, true);
    const opening = openReplica({ root: directory.path, database, name: 'one/0' });
    await delay(500);
    await letRunOut(database, 'dead/0');
    const isThere = await Promise.race([opening.then(() => true), delay(30_000, false)]);
    // Otherwise it would wait for minutes more.
    if (!isThere) await metadata.write('durable', (tx) => metadata.replicas.remove(tx, 'dead/0'));
    await using one = await opening;
    assert.equal(isThere, true);
    assert.notEqual(one.keeper.run, dead?.run);
    await metadata.close();
  });

  it('are not given up by one that starts when the clock of the database was set forward', async () => {
    await using directory = await temporaryDirectory();
    await using one = await openReplica({ root: directory.path, database, name: 'one/0' });
    await letRunOut(database, 'one/0');
    await using two = await openReplica({ root: directory.path, database, name: 'two/0' });
    assert.equal(two.keeper.run, one.keeper.run);
    assert.equal((await two.metadata.replicas.living()).map(({ id }) => id).join(), 'one/0,two/0');
  });

  it('give up a silent one also when the clock of the database was set back', async () => {
    await using directory = await temporaryDirectory();
    await using one = await openReplica({ root: directory.path, database, name: 'one/0' });
    const dead = await join(one.metadata, { id: 'dead/0', host: 'dead' }, 3_600_000);
    assert.equal(dead?.run, one.keeper.run);
    const deadline = performance.now() + 40_000;
    const names = async () => (await one.metadata.replicas.all()).map(({ id }) => id).join();
    while ((await names()) !== 'one/0' && performance.now() < deadline) await delay(500);
    assert.equal(await names(), 'one/0');
  });

  it('are all on one tree: who has another one is refused as long as others work on the index', async () => {
    await using directory = await temporaryDirectory();
    await using another = await temporaryDirectory();
    const one = await openReplica({ root: directory.path, database, name: 'one/0' });
    const digest = await pushBlob(one.registry, repository, 'some bytes');
    const open = () => openReplica({ root: another.path, database, name: 'two/0' });
    await assert.rejects(open(), { name: 'StorageError', message: /another tree.*storage.*stop/ });
    assert.equal((await one.metadata.replicas.all()).map(({ id }) => id).join(), 'one/0');
    assert.equal((await one.registry.blobs.get(repository, digest)).size, 10);
    await one[Symbol.asyncDispose]();
    await using _alone = await open();
  });

  it("give up what a silent one was changing: its change fails, and its locks are others'", async () => {
    await using both = await openTwo();
    const { one, two } = both;
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
    let isBegun = false;
    const late = changing(one.context, { name: repository, subjects }, async (held) => {
      isBegun = true;
      await mayGoOn;
      assert.ok(one.keeper.fence().leftMs() <= 0, 'the store refuses it');
      await held.finish('durable', async () => {});
    });
    await until('the change to begin', () => isBegun);
    await letRunOut(database, 'one/0');
    assert.deepEqual(await giveUpSilent(two), ['one/0']);
    await changing(two.context, { name: repository, subjects }, (held) => held.finish('durable', async () => {}));
    await until('a new lease', () => one.keeper.current === 'one/0.1');
    goOn();
    await assert.rejects(late, isGivenUp);
    await changing(one.context, { name: repository, subjects }, (held) => held.finish('durable', async () => {}));
    assert.equal(await one.metadata.intents.isAnyLeft(), false);
    assert.ok(one.log.lines.some(({ message }) => message.includes('was given up by another server')));
  });

  it('give back their lease when what they are changing is done: its last request may be on its way', async () => {
    await using both = await openTwo();
    const { one, two } = both;
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
    const done: string[] = [];
    const change = ({ context }: OpenedReplica, who: string) =>
      changing(context, { name: repository, subjects }, async (held) => {
        done.push(`${who} begins`);
        if (who === 'one') await mayGoOn;
        await held.finish('durable', async () => {});
        done.push(`${who} ends`);
      });
    const first = change(one, 'one');
    await until('the change to begin', () => done.length > 0);
    // Of a client that did not wait for the answer, say.
    const leaving = one.replica.leave();
    const second = change(two, 'two');
    await delay(1_000);
    goOn();
    await Promise.all([first, second, leaving]);
    assert.deepEqual(done, ['one begins', 'one ends', 'two begins', 'two ends']);
    assert.equal((await two.metadata.replicas.all()).map(({ id }) => id).join(), 'two/0');
  });

  it('take no lock under a lease that was given up and that they have not seen yet', async () => {
    await using both = await openTwo();
    const { one, two } = both;
    await letRunOut(database, 'one/0');
    await giveUpSilent(two);
    await assert.rejects(pushBlob(one.registry, repository, 'some bytes'), isGivenUp);
    await assert.rejects(
      exclusively(one.context, { name: 'a job' }, async () => {}),
      isGivenUp,
    );
    assert.equal(await two.metadata.intents.isAnyLeft(), false);
    await until('a new lease', () => one.keeper.current === 'one/0.1');
    assert.equal(await pushBlob(one.registry, repository, 'some bytes'), digestOfText('some bytes'));
  });

  it('leave an upload to whoever took it up when its process was silent', async () => {
    await using both = await openTwo();
    const { one, two } = both;
    const { id } = await one.registry.uploads.open(repository, 'sha256');
    await one.registry.uploads.append(repository, id, NO_CLAIM, bodyOf('first '));
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
    async function* slow() {
      yield [Buffer.from('never ')];
      await mayGoOn;
      yield [Buffer.from('heard of')];
    }
    const late = one.registry.uploads.append(repository, id, NO_CLAIM, slow());
    await until('the upload to be held', async () => (await one.metadata.uploads.find(id))?.holder === 'one/0');
    await letRunOut(database, 'one/0');
    await giveUpSilent(two);
    const { size } = await two.registry.uploads.status(repository, id);
    assert.ok(size === 6 || size === 12, `${size}`);
    const taken = await two.metadata.uploads.hold(repository, id, { holder: 'two/0', lease: 'two/0' });
    assert.equal(taken.taken, true);
    goOn();
    await assert.rejects(late, isGivenUp, 'what is not certain to be there is not acknowledged');
    assert.equal((await two.metadata.uploads.find(id))?.holder, 'two/0', "it is still the second one's");
  });

  it("do a job one at a time, and a silent one's is done by another", async () => {
    await using both = await openTwo();
    const { one, two } = both;
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
    let isBegun = false;
    const first = exclusively(one.context, { name: COLLECTING }, async () => {
      isBegun = true;
      await mayGoOn;
    });
    await until('the job to begin', () => isBegun);
    assert.equal(await two.registry.collection.runUnlessDone(0, async () => true), undefined);
    await letRunOut(database, 'one/0');
    await giveUpSilent(two);
    assert.notEqual(await two.registry.collection.runUnlessDone(0, async () => true), undefined);
    goOn();
    await first;
    assert.equal(await two.registry.collection.runUnlessDone(3_600_000, async () => true), undefined, 'just done');
  });

  it('take back no blob while the store may still get the request that removes it', async () => {
    await using both = await openTwo();
    const { one, two } = both;
    await one.registry.maintenance.verifyTree(async () => {});
    const digest = await pushBlob(one.registry, repository, 'nobody needs this');
    const remove = one.context.driver.delete.bind(one.context.driver);
    let late: Promise<void> | undefined;
    one.context.driver.delete = async (keys) => {
      if (!keys.some((key) => key.includes('/blobs/'))) return remove(keys);
      // As the driver of a bucket says, which takes it until then.
      one.keeper.fence().unanswered?.(2_000);
      late = delay(1_500).then(() => remove(keys));
      throw new StorageError('unavailable', 'no answer came in time');
    };
    await delay(5);
    const round = one.registry.collection.run(async () => true);
    await until('the deletion', () => late !== undefined);
    assert.equal(await pushBlob(two.registry, repository, 'nobody needs this'), digest);
    await late;
    await round;
    assert.equal(await two.registry.blobs.get(repository, digest).then((blob) => blob.size), 17);
    assert.notEqual(await two.context.driver.stat(blobKey(digest)), undefined);
  });

  it('go on with the deletion of a blob that a silent one was at', async () => {
    await using both = await openTwo();
    const { one, two } = both;
    await one.registry.maintenance.verifyTree(async () => {});
    const digest = await pushBlob(one.registry, repository, 'nobody needs this');
    const { promise: mayGoOn, resolve: goOn } = Promise.withResolvers<void>();
    let isDeleting = false;
    const wrapped = one.context.driver.delete.bind(one.context.driver);
    one.context.driver.delete = async (keys) => {
      if (!keys.some((key) => key.includes('/blobs/'))) return wrapped(keys);
      isDeleting = true;
      await mayGoOn;
      throw new Error('refused by the store');
    };
    await new Promise((resolve) => setTimeout(resolve, 5));
    const round = one.registry.collection.run(async () => true);
    await until('the deletion', () => isDeleting);
    await letRunOut(database, 'one/0');
    await giveUpSilent(two);
    assert.equal(await pushBlob(two.registry, repository, 'nobody needs this'), digest);
    goOn();
    const collected = await round;
    assert.deepEqual([typeof collected, Object(collected).removed, Object(collected).failed], ['object', 0, 1]);
    assert.equal((await two.registry.blobs.get(repository, digest)).size, 17);
    one.context.driver.delete = wrapped;
  });
});

/** What a process does with those that were silent for long enough. */
async function giveUpSilent({ metadata, store }: OpenedReplica): Promise<readonly string[]> {
  const watched = await metadata.replicas.watch(MARGIN_MS, LASTS_MS);
  return giveUpLeases(
    store,
    watched.filter(({ isOver }) => isOver),
  );
}

async function openReplicaRows(options: PostgresOptions) {
  const { openPostgres } = await import('../../storage/metadata/postgres.ts');
  const database = await openPostgres(options);
  try {
    return await database.all('SELECT * FROM replica').catch(() => []);
  } finally {
    await database.close();
  }
}
