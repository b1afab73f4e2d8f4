import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { StorageError } from '../../storage/blobs/driver.ts';
import { isDamagedIndex, openSqlite, setIndexAside } from '../../storage/metadata/sqlite.ts';
import { openSqliteMetadata } from '../../storage/metadata/metadata.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { databaseContract } from './database.ts';

async function scratch() {
  const directory = await temporaryDirectory();
  return { directory, file: path.join(directory.path, 'index.db') };
}

databaseContract({
  name: 'SQLite',
  fresh: async () => {
    const { directory, file } = await scratch();
    return {
      open: async () => openSqlite(file),
      openIndex: () => openSqliteMetadata(file),
      [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
    };
  },
});

describe('database: a file of SQLite', () => {
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
