import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { StorageError } from '../../storage/blobs/driver.ts';
import type { Database } from '../../storage/metadata/database.ts';
import type { Metadata } from '../../storage/metadata/metadata.ts';
import { migrate } from '../../storage/metadata/migrations/migrate.ts';
import { SQLITE_TYPES } from '../../storage/metadata/sqlite-dialect.ts';
import { digestOfText, name } from '../harness/registry.ts';

/** A database that can be had anew. */
export interface DatabaseKind {
  readonly name: string;
  fresh(): Promise<FreshDatabase>;
}

/** One that nothing is in yet. What opens it, closes it. */
export interface FreshDatabase extends AsyncDisposable {
  open(): Promise<Database>;
  openIndex(): Promise<Metadata>;
}

/** What `Database` promises, and the index over it. */
export function databaseContract(kind: DatabaseKind): void {
  describe(`database: ${kind.name}`, () => inDatabase(kind));
  describe(`index migrations: ${kind.name}`, () => inMigrations(kind));
  describe(`index intents: ${kind.name}`, () => inIntents(kind));
  describe(`index tags: ${kind.name}`, () => inTags(kind));
}

function inDatabase(kind: DatabaseKind): void {
  test('keeps nothing of work that throws, and everything of its neighbours in the same commit', async () => {
    await using fresh = await kind.fresh();
    const database = await fresh.open();
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
    await using fresh = await kind.fresh();
    const database = await fresh.open();
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

  test('reads together see one moment, while others write', async () => {
    await using fresh = await kind.fresh();
    const database = await fresh.open();
    await database.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)'));
    const seen = await database.readTogether(async (queries) => {
      const before = await queries.all('SELECT x FROM t');
      await database.write('durable', (tx) => tx.run('INSERT INTO t VALUES (?)', 'a'));
      return [before.length, (await queries.all('SELECT x FROM t')).length];
    });
    assert.deepEqual([...seen, (await database.all('SELECT x FROM t')).length], [0, 0, 1]);
    await database.close();
  });

  test('a statement beside writers is there when it has ended, and fails as they do', async () => {
    await using fresh = await kind.fresh();
    const database = await fresh.open();
    await database.write('durable', (tx) => tx.run('CREATE TABLE t (x TEXT)'));
    await Promise.all(['a', 'b'].map((x) => database.runBeside('INSERT INTO t VALUES (?)', x)));
    await database.runBeside('DELETE FROM t WHERE x = ?', 'a');
    assert.deepEqual(
      (await database.all('SELECT x FROM t')).map((row) => row['x']),
      ['b'],
    );
    await assert.rejects(database.runBeside('INSERT INTO nothing VALUES (1)'), StorageError);
    await database.close();
  });

  test('writers of several connections never overlap, and each sees what those before it wrote', async () => {
    await using fresh = await kind.fresh();
    const databases = await Promise.all([fresh.open(), fresh.open(), fresh.open()]);
    await databases[0]?.write('durable', (tx) => tx.run('CREATE TABLE t (n INTEGER)'));
    await databases[0]?.write('durable', (tx) => tx.run('INSERT INTO t VALUES (0)'));
    await Promise.all(databases.flatMap((database) => Array.from({ length: 20 }, () => addOne(database))));
    assert.equal((await databases[1]?.get('SELECT n FROM t'))?.['n'], 60);
    await Promise.all(databases.map((database) => database.close()));
  });

  test('gives back what was put in: numbers of 53 bits, bytes, texts of every language, nothing', async () => {
    await using fresh = await kind.fresh();
    const metadata = await fresh.openIndex();
    const repository = name('a');
    const bytes = Buffer.from([0, 255, 1, 39, 92, 63]);
    const manifest = {
      ...row('1'),
      size: Number.MAX_SAFE_INTEGER,
      bytes,
      annotations: { '?': `ä 'ü' \\ \0 \u{1f600} ?` },
    };
    await metadata.write('durable', async (tx) => {
      const id = await metadata.repositories.ensure(tx, repository, 0, undefined);
      await metadata.manifests.commit(tx, await metadata.manifests.insertPending(tx, id, manifest, 5), 5);
    });
    const recorded = await metadata.manifests.recorded(repository, manifest.digest);
    assert.deepEqual({ ...recorded, bytes: Buffer.from(recorded?.bytes ?? []) }, manifest);
    assert.equal((await metadata.check.manifest(repository, manifest.digest))?.subject, undefined);
    await metadata.close();
  });

  test('a text is found and sorted by its bytes; one that no text can be is not found', async () => {
    await using fresh = await kind.fresh();
    const metadata = await fresh.openIndex();
    const names = ['a-b', 'a.b', 'a/b', 'a0', 'a_b', 'ab', 'b'];
    await metadata.write('durable', async (tx) => {
      for (const text of names.toReversed()) await metadata.repositories.ensure(tx, name(text), 0, undefined);
    });
    assert.deepEqual(await metadata.repositories.page('', 10), names);
    assert.deepEqual(await metadata.repositories.page('a.b', 2), ['a/b', 'a0']);
    assert.deepEqual(
      await metadata.repositories.search('b', 0, 10),
      ['b', 'ab', 'a-b', 'a.b', 'a/b', 'a_b'].toSorted(byRank),
    );
    assert.deepEqual(await metadata.repositories.search('\0', 0, 10), []);
    assert.deepEqual(await metadata.repositories.search('%', 0, 10), []);
    await metadata.close();
  });
}

async function addOne(database: Database): Promise<void> {
  await database.write('relaxed', async (tx) => {
    const n = Number((await tx.get('SELECT n FROM t'))?.['n']);
    // Another writer would come in here.
    await tx.all('SELECT n FROM t');
    await tx.run('UPDATE t SET n = ?', n + 1);
  });
}

const rank = (text: string) => (text === 'b' ? 0 : text.includes('/b') ? 1 : 2);

/** The whole name, one behind a slash, the rest; the shorter first. */
function byRank(one: string, other: string): number {
  return rank(one) - rank(other) || one.length - other.length || (one < other ? -1 : 1);
}

function inMigrations(kind: DatabaseKind): void {
  test('run once, also when two processes open the index at the same moment', async () => {
    await using fresh = await kind.fresh();
    const opened = await Promise.all([fresh.openIndex(), fresh.openIndex(), fresh.openIndex()]);
    await Promise.all(opened.map((metadata) => metadata.close()));
    const database = await fresh.open();
    assert.deepEqual((await database.all('SELECT version FROM schema_version')).length, 1);
    await database.close();
  });

  test('an index of a newer program is refused with advice', async () => {
    await using fresh = await kind.fresh();
    await (await fresh.openIndex()).close();
    const database = await fresh.open();
    await database.write('durable', async (tx) => {
      await tx.run('UPDATE schema_version SET version = 9999');
      await tx.run('UPDATE schema_version_works_from SET works_from = 9999');
    });
    await database.close();
    await assert.rejects(fresh.openIndex(), /delete the index: it is rebuilt/);
  });

  test('a program that does not know of deferred copies is refused: it would take their bytes for lost', async () => {
    await using fresh = await kind.fresh();
    await (await fresh.openIndex()).close();
    const database = await fresh.open();
    const migrations = Array.from({ length: 5 }, () => () => []);
    const older = { migrations, worksFrom: 4, versionTable: 'schema_version', living: async () => [], advice: 'stop' };
    await assert.rejects(migrate(database, SQLITE_TYPES, older), /version \d+, this program knows 5; stop/);
    await database.close();
  });

  test('an index that a newer program has only added to is worked with, and stays as it is', async () => {
    await using fresh = await kind.fresh();
    await (await fresh.openIndex()).close();
    const database = await fresh.open();
    await database.write('durable', (tx) => tx.run('UPDATE schema_version SET version = 9999'));
    const metadata = await fresh.openIndex();
    await metadata.state.set('read-only', 'on');
    assert.equal(await metadata.state.get('read-only'), 'on');
    await metadata.close();
    assert.equal((await database.get('SELECT version FROM schema_version'))?.['version'], 9999);
    await database.close();
  });

  test('an index is not moved further than the oldest server on it can follow', async () => {
    await using fresh = await kind.fresh();
    await (await fresh.openIndex()).close();
    const database = await fresh.open();
    const old = (expiresAt: number) =>
      database.write('durable', async (tx) => {
        await tx.run('DELETE FROM replica');
        await tx.run(
          "INSERT INTO replica (id, host, knows, began_at, expires_at) VALUES ('old/0', 'old-host', 3, 1, ?)",
          expiresAt,
        );
      });
    await old(Date.now() + 3_600_000);
    await assert.rejects(
      fresh.openIndex(),
      /a server on old-host .* upgrade every server to the release before this one/,
    );
    await old(Date.now() - 3_600_000);
    await (await fresh.openIndex()).close();
    await database.close();
  });
}

function inIntents(kind: DatabaseKind): void {
  test('one holder a key; the repository excludes everything in it and the reverse', async () => {
    await using fresh = await kind.fresh();
    const metadata = await fresh.openIndex();
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
    await using fresh = await kind.fresh();
    const metadata = await fresh.openIndex();
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
    await using fresh = await kind.fresh();
    const metadata = await fresh.openIndex();
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
    const abandonEnded = (ended: { owner: string } | { allButRun: string }) =>
      metadata.write('durable', (tx) => metadata.intents.abandonEnded(tx, ended, 0));
    assert.equal(await abandonEnded({ allButRun: 'new' }), 1);
    const { verifiedRun } = (await metadata.repositories.find(repository)) ?? {};
    assert.match(verifiedRun ?? '', /^doubt /, 'the repository is in doubt');
    assert.equal(await abandonEnded({ owner: 'new/1' }), 1);
    assert.equal(await abandonEnded({ owner: 'new/2' }), 1);
    assert.equal(await abandonEnded({ owner: 'new/22' }), 1);
    assert.equal(await metadata.intents.isAnyLeft(), false);
    await metadata.close();
  });
}

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

function inTags(kind: DatabaseKind): void {
  test('every move and removal leaves where the tag pointed', async () => {
    await using fresh = await kind.fresh();
    const metadata = await fresh.openIndex();
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
}
