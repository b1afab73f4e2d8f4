import assert from 'node:assert/strict';
import { createServer, connect, type Socket } from 'node:net';
import { after, describe, it } from 'node:test';
import { IndexError } from '../../storage/metadata/index-error.ts';
import type { Database } from '../../storage/metadata/database.ts';
import { openPostgres } from '../../storage/metadata/postgres.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { freePort } from '../harness/process.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';
import { untilThere } from './until-there.ts';

const isUnavailable = (error: unknown) => error instanceof IndexError && error.failure === 'unavailable';

const one = (database: Database) => database.prompt.get('SELECT 1 AS one');

/** A way to a server that may swallow everything, and never says so. */
async function startHole({ port: to }: PostgresOptions) {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let isOpen = true;
  const server = createServer((near) => {
    sockets.add(near);
    if (!isOpen) return;
    const far = connect(to, '127.0.0.1');
    sockets.add(far);
    for (const [from, into] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (bytes) => isOpen && into.write(bytes));
      from.on('error', () => {});
      from.on('close', () => isOpen && into.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port,
    swallow: () => (isOpen = false),
    /** New connections get through; those that were swallowed stay silent. */
    open: () => (isOpen = true),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe('PostgreSQL gives no answer', { skip: missingPostgres }, () => {
  it('keeps nobody waiting for long when it is frozen, and is found at once when it goes on', async () => {
    await using server = await PostgresServer.start();
    const database = await openPostgres(await server.database());
    after(() => database.close());
    await database.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)'));
    await Promise.all(Array.from({ length: 8 }, () => one(database)));
    server.freeze();
    const began = performance.now();
    // More than there are connections, and with what may take a minute otherwise.
    const asked = await Promise.allSettled([
      ...Array.from({ length: 20 }, () => one(database)),
      ...Array.from({ length: 5 }, () => database.all('SELECT x FROM t')),
      ...Array.from({ length: 5 }, () => database.write('durable', (tx) => tx.run(`INSERT INTO t VALUES ('x')`))),
      database.readTogether((queries) => queries.all('SELECT x FROM t')),
    ]);
    assert.ok(asked.every((each) => each.status === 'rejected' && isUnavailable(each.reason)));
    assert.ok(performance.now() - began < 15_000, `${performance.now() - began} ms`);
    // From now on nobody waits at all: these would take ten minutes otherwise.
    const late = performance.now();
    for (let i = 0; i < 200; i += 1) {
      await assert.rejects(one(database), isUnavailable);
      await assert.rejects(
        database.write('durable', (tx) => tx.run(`INSERT INTO t VALUES ('x')`)),
        isUnavailable,
      );
    }
    assert.ok(performance.now() - late < 5_000, `${performance.now() - late} ms`);
    server.thaw();
    await untilThere(database);
    await database.write('durable', (tx) => tx.run(`INSERT INTO t VALUES ('back')`));
    assert.deepEqual(
      (await database.all(`SELECT x FROM t WHERE x = 'back'`)).map((row) => row['x']),
      ['back'],
    );
  });

  it('has none of its connections left that lead to nowhere, when the way is there again', async () => {
    await using server = await PostgresServer.start();
    const options = await server.database();
    await using hole = await startHole(options);
    const database = await openPostgres({ ...options, port: hole.port });
    after(() => database.close());
    // All that there may be.
    const sleep = () => database.prompt.get('SELECT pg_sleep(0.2)');
    await Promise.all(Array.from({ length: options.poolSize }, sleep));
    hole.swallow();
    await assert.rejects(one(database), isUnavailable);
    await assert.rejects(one(database), isUnavailable);
    hole.open();
    await untilThere(database);
    // One after the other on each of them, if they were there still.
    for (let i = 0; i < 2; i += 1) await Promise.all(Array.from({ length: options.poolSize }, () => one(database)));
  });

  it('takes nothing for away that is slow alone', async () => {
    await using server = await PostgresServer.start();
    const database = await openPostgres(await server.database());
    after(() => database.close());
    const slow = database.get('SELECT pg_sleep(7)');
    const slowPrompt = database.prompt.get('SELECT pg_sleep(7)');
    await assert.rejects(slowPrompt, isUnavailable);
    assert.deepEqual(await one(database), { one: 1 });
    assert.ok(await slow);
    assert.deepEqual(await one(database), { one: 1 });
  });
});
