import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { parseTag } from '../../oci/names.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import { isDamagedIndex, openSqlite, setIndexAside } from '../../storage/metadata/sqlite.ts';
import { openSqliteMetadata } from '../../storage/metadata/metadata.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { digestOfText, name } from '../harness/registry.ts';

async function scratch() {
  const directory = await temporaryDirectory();
  return { directory, file: path.join(directory.path, 'index.db') };
}

describe('database: SQLite', () => {
  test('keeps nothing of work that throws, and everything of its neighbours in the same commit', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const database = openSqlite(file);
    await database.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)'));
    const outcomes = await Promise.allSettled([
      database.write('durable', (tx) => tx.run('INSERT INTO t VALUES (?)', 'a')),
      database.write('durable', async (tx) => {
        await tx.run('INSERT INTO t VALUES (?)', 'b');
        throw new RangeError('mine');
      }),
      database.write('relaxed', (tx) => tx.run('INSERT INTO t VALUES (?)', 'c')),
    ]);
    assert.deepEqual(
      outcomes.map((outcome) => (outcome.status === 'rejected' ? (outcome.reason as Error).message : outcome.value)),
      [1, 'mine', 1],
    );
    assert.deepEqual(
      (await database.all('SELECT x FROM t ORDER BY x')).map((row) => row['x']),
      ['a', 'c'],
    );
    await database.close();
  });

  test('reads see only what was committed', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const database = openSqlite(file);
    await database.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)'));
    let inside: unknown;
    let outside: unknown;
    await database.write('durable', async (tx) => {
      await tx.run('INSERT INTO t VALUES (?)', 'a');
      inside = (await tx.all('SELECT x FROM t')).length;
      outside = (await database.all('SELECT x FROM t')).length;
    });
    assert.deepEqual([inside, outside, (await database.all('SELECT x FROM t')).length], [1, 0, 1]);
    await database.close();
  });

  test('waits for the writer of another process instead of failing', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const database = openSqlite(file);
    await database.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)'));
    const script = `
      const { DatabaseSync } = await import('node:sqlite');
      const other = new DatabaseSync(process.argv[1]);
      other.exec('BEGIN IMMEDIATE');
      console.log('locked');
      await new Promise((resolve) => setTimeout(resolve, 300));
      other.exec("INSERT INTO t VALUES ('other'); COMMIT");`;
    const child = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script, file]);
    await new Promise((resolve) => child.child.stdout?.once('data', resolve));
    await database.write('durable', (tx) => tx.run('INSERT INTO t VALUES (?)', 'mine'));
    await child;
    assert.deepEqual(
      (await database.all('SELECT x FROM t ORDER BY x')).map((row) => row['x']),
      ['mine', 'other'],
    );
    await database.close();
  });

  test('a file that is no database is StorageError', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const { writeFile } = await import('node:fs/promises');
    await writeFile(file, 'x'.repeat(8192));
    assert.throws(() => openSqlite(file), StorageError);
  });
});

describe('index: migrations', () => {
  test('run once, also when two processes open the index at the same moment', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const opened = await Promise.all([openSqliteMetadata(file), openSqliteMetadata(file), openSqliteMetadata(file)]);
    await Promise.all(opened.map((metadata) => metadata.close()));
    const database = openSqlite(file);
    assert.deepEqual((await database.all('SELECT version FROM schema_version')).length, 1);
    await database.close();
  });

  test('an index of a newer program is refused with advice', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    await (await openSqliteMetadata(file)).close();
    const database = openSqlite(file);
    await database.write('durable', (tx) => tx.run('UPDATE schema_version SET version = 9999'));
    await database.close();
    await assert.rejects(openSqliteMetadata(file), /delete the index: it is rebuilt/);
  });
});

describe('index: intents', () => {
  test('one holder a key; the repository excludes everything in it and the reverse', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const metadata = await openSqliteMetadata(file);
    const acquire = (repository: string, keys: readonly string[]) =>
      metadata.write('relaxed', (tx) =>
        metadata.intents.acquire(tx, { keys, repository: name(repository), owner: 'run/1', now: 0 }),
      );
    const release = (keys: readonly string[]) =>
      metadata.write('relaxed', (tx) => metadata.intents.release(tx, keys, 'run/1'));
    assert.equal(await acquire('a', ['tag:a:1', 'tag:a:2']), true);
    assert.equal(await acquire('a', ['tag:a:2', 'tag:a:3']), false);
    assert.equal(await acquire('a', ['tag:a:3']), true, 'what was refused left nothing behind');
    assert.equal(await acquire('a', ['a']), false);
    await release(['tag:a:1', 'tag:a:2', 'tag:a:3']);
    assert.equal(await acquire('a', ['a']), true);
    assert.equal(await acquire('a', ['tag:a:1']), false);
    assert.equal(await acquire('b', ['tag:b:1']), true, 'another repository');
    await metadata.close();
  });

  test('comparisons at the same time all count, unless a doubt arose since they began', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const metadata = await openSqliteMetadata(file);
    const { repositories } = metadata;
    const repository = name('a');
    await metadata.write('relaxed', (tx) => repositories.ensure(tx, repository, 0, undefined));
    const [first, second] = [await repositories.find(repository), await repositories.find(repository)];
    assert.ok(first !== undefined && second !== undefined);
    await repositories.endVerification(first, 'run');
    assert.equal((await repositories.find(repository))?.verifiedRun, 'run');
    await metadata.intents.abandon({ repository, keys: [], owner: 'run/1/a change' }, 1);
    await repositories.endVerification(second, 'run');
    assert.match((await repositories.find(repository))?.verifiedRun ?? '', /^doubt /);
    await metadata.close();
  });

  test('what ended processes left is given up, what living ones hold stays', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const metadata = await openSqliteMetadata(file);
    const repository = name('a');
    await metadata.write('relaxed', (tx) => metadata.repositories.ensure(tx, repository, 0, 'new'));
    for (const [owner, key] of [
      ['old/1', 'tag:a:1'],
      ['new/1', 'tag:a:2'],
      ['new/2/a change', 'tag:a:3'],
      ['new/22/a change', 'tag:a:4'],
    ] as const) {
      await metadata.write('relaxed', (tx) => metadata.intents.acquire(tx, { keys: [key], repository, owner, now: 0 }));
    }
    assert.equal(await metadata.intents.abandonEnded({ allButRun: 'new' }, 0), 1);
    const { verifiedRun } = (await metadata.repositories.find(repository)) ?? {};
    assert.match(verifiedRun ?? '', /^doubt /, 'the repository is in doubt');
    assert.equal(await metadata.intents.abandonEnded({ owner: 'new/1' }, 0), 1);
    assert.equal(await metadata.intents.abandonEnded({ owner: 'new/2' }, 0), 1);
    assert.equal(await metadata.intents.abandonEnded({ owner: 'new/22' }, 0), 1);
    assert.equal(await metadata.intents.isAnyLeft(), false);
    await metadata.close();
  });
});

const row = (content: string) => ({
  digest: digestOfText(content),
  size: 1,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  artifactType: undefined,
  subject: undefined,
  annotations: undefined,
  bytes: undefined,
  references: [],
});

describe('index: tags', () => {
  test('every move and removal leaves where the tag pointed', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const metadata = await openSqliteMetadata(file);
    const repository = name('a');
    const tag = parseTag('latest');
    const history = await metadata.write('durable', async (tx) => {
      const repositoryId = await metadata.repositories.ensure(tx, repository, 0, undefined);
      const [one, two] = [row('1'), row('2')];
      const change = { repository, repositoryId, tag, now: 5 };
      for (const manifest of [one, two]) {
        const manifestId = await metadata.manifests.insertPending(tx, repositoryId, manifest, 0);
        await metadata.tags.move(tx, { ...change, manifestId, digest: manifest.digest });
        await metadata.tags.move(tx, { ...change, manifestId, digest: manifest.digest });
      }
      await metadata.tags.remove(tx, change);
      await metadata.tags.remove(tx, change);
      return tx.all('SELECT digest, previous FROM tag_history ORDER BY id');
    });
    assert.deepEqual(
      history.map((entry) => [entry['digest'], entry['previous']]),
      [
        [digestOfText('1'), null],
        [digestOfText('2'), digestOfText('1')],
        [null, digestOfText('2')],
      ],
    );
    await metadata.close();
  });
});

describe('index: a damaged file', () => {
  test('is told from other trouble, and set aside', async () => {
    const { directory, file } = await scratch();
    await using _ = directory;
    const { readdir, writeFile } = await import('node:fs/promises');
    await writeFile(file, 'no database '.repeat(1000));
    await assert.rejects(openSqliteMetadata(file), (error) => isDamagedIndex(error));
    await assert.rejects(openSqliteMetadata(path.join(file, 'below')), (error) => !isDamagedIndex(error));
    const aside = path.basename(setIndexAside(file));
    assert.deepEqual(await readdir(directory.path), [aside]);
    await (await openSqliteMetadata(file)).close();
  });
});
