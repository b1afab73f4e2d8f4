import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { StorageError } from '../../storage/blobs/driver.ts';
import type { Database, Durability } from '../../storage/metadata/database.ts';
import { openPostgres } from '../../storage/metadata/postgres.ts';
import { missingPgBouncer, PgBouncer, PostgresServer } from './postgres-server.ts';
import { untilThere } from './until-there.ts';

const isUnavailable = (error: unknown) => error instanceof StorageError && error.failure === 'unavailable';

async function openTable(server: PostgresServer): Promise<Database> {
  const database = await openPostgres(await server.database());
  await database.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)'));
  return database;
}

const insert = (database: Database, x: string, durability: Durability = 'durable') =>
  database.write(durability, (tx) => tx.run('INSERT INTO t VALUES (?)', x));

describe('PostgreSQL goes away', { skip: missingPgBouncer }, () => {
  it('fails while it is away, and goes on by itself once it is there', async () => {
    await using server = await PostgresServer.start();
    const database = await openTable(server);
    await Promise.all(['a', 'b', 'c'].map((x) => insert(database, x)));
    await server.stop();
    await assert.rejects(database.get('SELECT x FROM t'), isUnavailable);
    await assert.rejects(insert(database, 'd'), isUnavailable);
    await assert.rejects(
      database.readTogether((queries) => queries.all('SELECT x FROM t')),
      isUnavailable,
    );
    await server.up();
    await untilThere(database);
    assert.equal((await database.all('SELECT x FROM t')).length, 3);
    await insert(database, 'e');
    // It was away and is there again, and nobody has noticed: then the first attempt is enough.
    await Promise.all(Array.from({ length: 8 }, () => database.get('SELECT x FROM t')));
    await server.stop();
    await server.up();
    await insert(database, 'f');
    assert.equal((await database.all('SELECT x FROM t')).length, 5);
    await database.close();
  });

  it('what a write has promised is there after a crash, also what a relaxed one has', async () => {
    await using server = await PostgresServer.start();
    const database = await openTable(server);
    for (let round = 0; round < 5; round++) {
      const promised: string[] = [];
      const crash = new AbortController();
      const writer = async (number: number) => {
        for (let step = 0; !crash.signal.aborted; step++) {
          const x = `${round}/${number}/${step}`;
          try {
            await insert(database, x, number % 2 === 0 ? 'relaxed' : 'durable');
          } catch (error) {
            assert.ok(isUnavailable(error), String(error));
            return;
          }
          promised.push(x);
        }
      };
      const writers = Array.from({ length: 8 }, (_, number) => writer(number));
      await delay(300);
      await server.crash();
      crash.abort();
      await Promise.all(writers);
      await server.up();
      await untilThere(database);
      const found = new Set((await database.all('SELECT x FROM t')).map((row) => row['x']));
      assert.ok(promised.length > 50, `${promised.length} writes`);
      assert.deepEqual(
        promised.filter((x) => !found.has(x)),
        [],
        `of ${promised.length}`,
      );
    }
    await database.close();
  });

  it('nobody waits for ever for who is frozen in the middle of a transaction, and that one has written nothing', async () => {
    await using server = await PostgresServer.start();
    const options = await server.database();
    await using bouncer = await PgBouncer.start(options);
    for (const through of [options, bouncer.before(options)]) {
      const [frozen, other] = [await openPostgres(through), await openPostgres(through)];
      after(() => Promise.all([frozen.close(), other.close()]));
      await other.write('durable', (tx) => tx.run('DROP TABLE IF EXISTS t'));
      await other.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)'));
      const begun = Promise.withResolvers<void>();
      const thawed = Promise.withResolvers<void>();
      const late = frozen.write('durable', async (tx) => {
        await tx.run('INSERT INTO t VALUES (?)', 'late');
        begun.resolve();
        await thawed.promise;
        await tx.run('INSERT INTO t VALUES (?)', 'later');
      });
      await begun.promise;
      await insert(other, 'meanwhile');
      thawed.resolve();
      await assert.rejects(late, isUnavailable);
      assert.deepEqual(
        (await frozen.all('SELECT x FROM t')).map((row) => row['x']),
        ['meanwhile'],
      );
      await insert(frozen, 'again');
    }
  });

  it('says what to do about a database that is not there, not allowed, or cannot keep every text', async () => {
    await using server = await PostgresServer.start();
    const options = await server.database();
    await assert.rejects(openPostgres({ ...options, database: 'nowhere' }), /create the database first/);
    await server.query(
      'postgres',
      `CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`,
    );
    await assert.rejects(
      openPostgres({ ...options, database: 'latin' }),
      /encoding LATIN1; create it with ENCODING 'UTF8'/,
    );
    await server.query('postgres', 'CREATE DATABASE foreign_one');
    const foreign = await openPostgres({ ...options, database: 'foreign_one' });
    await assert.rejects(
      foreign.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)')),
      /make the user the owner of the database/,
    );
    await foreign.close();
  });
});
