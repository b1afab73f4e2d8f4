import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DatabaseError } from 'pg';
import { asStorageError, isLost } from '../../storage/metadata/postgres/failures.ts';
import { numbered } from '../../storage/metadata/postgres/placeholders.ts';
import { Turns } from '../../storage/metadata/postgres/turns.ts';
import { PROJECT_ROOT } from '../harness/process.ts';

const errorOf = (code: string) => Object.assign(new DatabaseError('it says so', 1, 'error'), { code });

describe('statements for PostgreSQL', () => {
  it('count their values, and leave alone what is in quotes', () => {
    assert.equal(numbered('SELECT ? WHERE a = ? AND b IN (?, ?)'), 'SELECT $1 WHERE a = $2 AND b IN ($3, $4)');
    assert.equal(numbered(`SELECT '?', 'it''s ?', "a?" WHERE b = ?`), `SELECT '?', 'it''s ?', "a?" WHERE b = $1`);
    assert.equal(numbered('SELECT 1'), 'SELECT 1');
  });
});

describe('errors of PostgreSQL', () => {
  it('say what has failed, and what to do', () => {
    assert.deepEqual(
      ['53100', '53300', '40001', '57P01'].map((code) => asStorageError(errorOf(code)).failure),
      ['full', 'unavailable', 'unavailable', 'unavailable'],
    );
    assert.match(asStorageError(errorOf('28P01')).message, /^PostgreSQL: it says so; the password is not right$/);
    const isOther = asStorageError(errorOf('42P07')).message;
    assert.equal(
      isOther,
      'PostgreSQL: it says so; the database belongs to another program: give this one a database of its own',
    );
    assert.match(asStorageError(errorOf('53300')).message, /max_connections.*index\.postgres\.poolSize/);
    const isAway = Object.assign(new Error('getaddrinfo ENOTFOUND db'), { code: 'ENOTFOUND' });
    assert.match(asStorageError(isAway).message, /ENOTFOUND db; index\.postgres has to name/);
    const refused = [new Error('connect ECONNREFUSED ::1:5432'), new Error('connect ECONNREFUSED 127.0.0.1:5432')];
    assert.match(
      asStorageError(new AggregateError(refused)).message,
      /::1:5432, connect ECONNREFUSED 127\.0\.0\.1:5432$/,
    );
  });

  it('end the connection, or only the statement', () => {
    assert.deepEqual(
      ['57P01', '57P02', '08006', '25P03', '57014', '23505'].map((code) => isLost(errorOf(code))),
      [true, true, true, true, false, false],
    );
    assert.equal(isLost(new Error('Connection terminated unexpectedly')), true);
  });
});

describe('writers of a process', () => {
  it('take turns in the order in which they came, two at a time, also behind one that fails', async () => {
    const turns = new Turns(2);
    const order: string[] = [];
    let [now, most] = [0, 0];
    const work = (name: string) =>
      turns.take(async () => {
        most = Math.max(most, ++now);
        order.push(name);
        await new Promise((resolve) => setImmediate(resolve));
        now -= 1;
        if (name === 'b') throw new Error('b fails');
        return name;
      });
    const ended = await Promise.allSettled(['a', 'b', 'c', 'd', 'e'].map(work));
    assert.deepEqual(order, ['a', 'b', 'c', 'd', 'e']);
    assert.equal(most, 2);
    assert.deepEqual(
      ended.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
    );
  });
});

it('a server whose index is a file does not load what speaks to PostgreSQL', async () => {
  const script = `
    const { createRequire } = await import('node:module');
    const isLoaded = () => Object.keys(createRequire(import.meta.url).cache).some((file) => /node_modules.pg./.test(file));
    const [dialect, ...server] = process.argv.slice(1);
    for (const file of server) await import(file);
    const before = isLoaded();
    await import(dialect);
    console.log(JSON.stringify([before, isLoaded()]));
    process.exit(0);`;
  const dialect = fileURLToPath(new URL('../../storage/metadata/postgres.ts', import.meta.url));
  const server = ['main', 'service', 'open-index', 'task-list'].map((file) =>
    path.join(PROJECT_ROOT, `server/${file}.ts`),
  );
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--input-type=module', '-e', script, dialect, ...server],
    { cwd: PROJECT_ROOT },
  );
  assert.deepEqual(JSON.parse(stdout), [false, true]);
});
