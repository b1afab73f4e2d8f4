import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, describe, it } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { KeyFile } from '../../server/auth/key-file.ts';
import { SharedKeys } from '../../server/auth/shared-keys.ts';
import { openPostgresAccess, openSqliteAccess } from '../../storage/metadata/access.ts';
import { ACCESS_TABLES, FLEETING_TABLES, INDEX_TABLES } from '../../storage/metadata/copy-index.ts';
import { openPostgresMetadata } from '../../storage/metadata/metadata.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';

const APP = name('team/app');
const MIGRATE = ['index', 'migrate', '--from', 'sqlite', '--to', 'postgres'];

/** A store with images, a history, an account and a key. */
async function fill(root: string): Promise<void> {
  await using opened = await openTestRegistry({ root, settings: { undoMs: 3_600_000 } });
  for (let number = 0; number < 300; number++) {
    const [config, layer] = [`{"number":${number}}`, `layer ${number % 50}`];
    await pushBlob(opened.registry, APP, config);
    await pushBlob(opened.registry, APP, layer);
    await opened.registry.manifests.put(manifestPush(APP, parseTag(`v${number % 40}`), imageOf(config, layer)));
  }
  const gone = name('team/gone');
  await pushBlob(opened.registry, gone, '{}');
  await opened.registry.manifests.put(manifestPush(gone, parseTag('v1'), imageOf('{}')));
  await opened.registry.repositories.delete(gone);
  const records = await openSqliteAccess(path.join(root, '.meta', 'access.db'));
  await records.accounts.add('anna', 'hash', 1);
  await records.close();
  new KeyFile(root).ensure();
}

function rowsIn(file: string, table: string): readonly string[] {
  const database = new DatabaseSync(file);
  try {
    return database
      .prepare(`SELECT * FROM ${table}`)
      .all()
      .map((row) => lineOf(row))
      .toSorted();
  } finally {
    database.close();
  }
}

/** Columns in the order of their names; numbers and what PostgreSQL says as text are the same. */
function lineOf(row: Readonly<Record<string, unknown>>): string {
  const values = Object.entries(row).toSorted(([one], [other]) => (one < other ? -1 : 1));
  return values
    .map(
      ([column, value]) =>
        `${column}=${value instanceof Uint8Array ? Buffer.from(value).toString('hex') : String(value)}`,
    )
    .join('|');
}

function tablesOf(file: string): readonly string[] {
  const database = new DatabaseSync(file);
  try {
    const sql = `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
      AND name NOT LIKE 'schema_version%'`;
    return database
      .prepare(sql)
      .all()
      .map((row) => String(row['name']))
      .toSorted();
  } finally {
    database.close();
  }
}

describe('entrepot index migrate', { skip: missingPostgres }, () => {
  let server: PostgresServer;
  let options: PostgresOptions;
  before(async () => {
    server = await PostgresServer.start();
    options = await server.database();
  });
  after(() => server[Symbol.asyncDispose]());

  it('copies every row of every table, goes on counting, and the server serves what was there', async () => {
    await using directory = await temporaryDirectory();
    const root = directory.path;
    await mkdir(path.join(root, '.meta'), { recursive: true });
    await fill(root);
    const [index, access] = [path.join(root, '.meta', 'index.db'), path.join(root, '.meta', 'access.db')];
    const known = [...INDEX_TABLES.map((table) => table.name), ...FLEETING_TABLES];
    assert.deepEqual(known.toSorted(), tablesOf(index), 'no table is forgotten');
    assert.deepEqual(ACCESS_TABLES.map((table) => table.name).toSorted(), tablesOf(access));

    const env = postgresEnvironment(options);
    const { code, stdout, stderr } = await runEntrepot([...MIGRATE, '--json', '--root', root], { env });
    assert.equal(code, 0, stderr);
    const { rows } = JSON.parse(stdout) as { rows: Record<string, number> };
    assert.deepEqual(
      [
        rows['repository'],
        rows['tag'],
        rows['tag_history'],
        rows['deleted_manifest'],
        rows['account'],
        rows['signing_key'],
      ],
      [1, 40, 302, 1, 1, 1],
    );
    for (const { name: table } of [...INDEX_TABLES, ...ACCESS_TABLES.filter((each) => each.name !== 'signing_key')]) {
      const file = INDEX_TABLES.some((each) => each.name === table) ? index : access;
      const there = await server.query(options.database, `SELECT * FROM ${table}`);
      assert.deepEqual(there.map((row) => lineOf(row)).toSorted(), rowsIn(file, table), table);
    }

    // The id of the repository that is gone is not given to another.
    const metadata = await openPostgresMetadata(options);
    const id = await metadata.write('durable', (tx) => metadata.repositories.ensure(tx, name('new'), 0, undefined));
    assert.equal(id, 3);
    await metadata.close();
    const records = await openPostgresAccess(options);
    assert.equal((await records.accounts.list())[0]?.name, 'anna');
    assert.equal((await SharedKeys.open(records.signingKeys)).signer.id, keyIdOf(root));
    await records.close();

    await using running = await startEntrepot({ root, env });
    const { tags } = (await (await fetch(`${running.url}/v2/team/app/tags/list`)).json()) as { tags: string[] };
    assert.equal(tags.length, 40);
    const manifest = await fetch(`${running.url}/v2/team/app/manifests/v7`);
    assert.equal(manifest.status, 200);
    const again = await runEntrepot([...MIGRATE, '--root', root], { env });
    assert.deepEqual(
      [again.code, /a server on .* works on the database already/.test(again.stderr)],
      [1, true],
      again.stderr,
    );
  });

  it('refuses a database that has something, and leaves it as it is', async () => {
    await using directory = await temporaryDirectory();
    await mkdir(path.join(directory.path, '.meta'), { recursive: true });
    await fill(directory.path);
    const used = await server.database();
    const metadata = await openPostgresMetadata(used);
    // The last of the tables that are looked at.
    await metadata.tasks.request('rebuild', '{}', 1);
    const { code, stderr } = await runEntrepot([...MIGRATE, '--root', directory.path], {
      env: postgresEnvironment(used),
    });
    assert.deepEqual(
      [code, /the table task has rows already: copy into a new and empty database/.test(stderr)],
      [1, true],
      stderr,
    );
    assert.equal(await metadata.repositories.count(), 0);
    await metadata.close();
  });

  it('says what else it needs', async () => {
    await using directory = await temporaryDirectory();
    const env = postgresEnvironment(options);
    const refused = async (args: readonly string[], variables: Record<string, string> = env) =>
      (await runEntrepot([...args, '--root', directory.path], { env: variables })).stderr;
    assert.match(await refused(MIGRATE), /there is no index in/);
    assert.match(await refused(MIGRATE, {}), /index.driver is not postgres/);
    assert.match(
      await refused(['index', 'migrate', '--from', 'postgres', '--to', 'sqlite']),
      /takes --from sqlite --to postgres/,
    );
  });
});

function keyIdOf(root: string): string {
  const keys = new KeyFile(root);
  keys.reload();
  return keys.signer.id;
}
