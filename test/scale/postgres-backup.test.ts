import assert from 'node:assert/strict';
import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { KeyFile } from '../../server/auth/key-file.ts';
import { restoringMark } from '../../server/root-marks.ts';
import { openPostgresAccess, openSqliteAccess } from '../../storage/metadata/access.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { until } from '../http/until.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';

const APP = name('team/app');
const PASSWORD = 'a long password';
const RULES = {
  ENTREPOT_ACCESS_RULES: JSON.stringify([{ who: 'authenticated', repositories: '**', actions: ['pull'] }]),
};

interface Place extends AsyncDisposable {
  readonly at: (...names: string[]) => string;
  /** Runs a command that has to succeed; its output. */
  readonly run: (env: Record<string, string>, ...args: string[]) => Promise<string>;
}

async function place(): Promise<Place> {
  const directory = await temporaryDirectory();
  return {
    at: (...names) => path.join(directory.path, ...names),
    run: async (env, ...args) => {
      const { code, stdout, stderr } = await runEntrepot(args, { env, input: `${PASSWORD}\n` });
      assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
      return stdout;
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

/** A token of somebody who logs in, and whether it lets them pull the image. */
async function tokenAt(url: string): Promise<string> {
  const answer = await fetch(`${url}/token?service=entrepot&scope=repository:team/app:pull`, {
    headers: { Authorization: `Basic ${Buffer.from(`anna:${PASSWORD}`).toString('base64')}` },
  });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  return (JSON.parse(text) as { token: string }).token;
}

const byText = (a: string, b: string) => (a < b ? -1 : 1);

async function pull(url: string, token: string): Promise<number> {
  const headers = { Authorization: `Bearer ${token}`, Accept: '*/*' };
  return (await fetch(`${url}/v2/team/app/manifests/v1`, { headers })).status;
}

describe('a backup of a store whose accounts are in PostgreSQL', { skip: missingPostgres }, () => {
  let server: PostgresServer;
  let options: PostgresOptions;
  let p: Place;
  let token = '';
  before(async () => {
    server = await PostgresServer.start();
    options = await server.database();
    p = await place();
    const env = postgresEnvironment(options);
    {
      await using opened = await openTestRegistry({ root: p.at('root') });
      for (const content of ['config', 'layer']) await pushBlob(opened.registry, APP, content);
      await opened.registry.manifests.put(manifestPush(APP, parseTag('v1'), imageOf('config', 'layer')));
    }
    await p.run(env, 'user', 'add', 'anna', '--root', p.at('root'));
    await useUpIds(server, options);
    await using running = await startEntrepot({ root: p.at('root'), env: { ...env, ...RULES } });
    token = await tokenAt(running.url);
    assert.equal(await pull(running.url, token), 200);
    await p.run(env, 'backup', p.at('copy'), '--root', p.at('root'));
  });
  after(async () => {
    await p[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  it('has them and the keys, as the backup of any other store, for their owner alone', async () => {
    const names = await readdir(p.at('copy/.meta/snapshots'));
    assert.deepEqual(
      names.toSorted(byText).map((file) => file.split('Z')[1]),
      ['.access.db', '.jsonl.gz', '.keys.json'],
    );
    for (const file of [...names.map((each) => `snapshots/${each}`), 'access.db', 'keys.json']) {
      assert.equal((await stat(p.at('copy/.meta', file))).mode & 0o777, 0o600, file);
    }
    const rows = await server.query(options.database, 'SELECT private_key FROM signing_key');
    const { keys } = JSON.parse(await readFile(p.at('copy/.meta/keys.json'), 'utf8')) as { keys: object[] };
    assert.deepEqual(
      keys.map((key) => 'privateKey' in key && key.privateKey),
      rows.map((row) => row['private_key']),
    );
  });

  it('is restored to a store with SQLite, where the tokens of before are good and no id is used twice', async () => {
    await p.run({}, 'restore', p.at('copy'), '--root', p.at('files'));
    const records = await openSqliteAccess(p.at('files/.meta/access.db'));
    assert.equal(await records.tokens.add(accessToken('next')), 4);
    await records.close();
    const keys = new KeyFile(p.at('files'));
    keys.reload();
    assert.equal(keys.keys.length, 1);
    await using running = await startEntrepot({ root: p.at('files'), env: RULES });
    assert.deepEqual([await pull(running.url, token), await pull(running.url, await tokenAt(running.url))], [200, 200]);
  });

  it('is restored to an empty database, also when it is interrupted, and to no other', async () => {
    const to = await server.database();
    const env = postgresEnvironment(to);
    const root = ['--root', p.at('database')];
    await p.run(env, 'restore', p.at('copy'), ...root);
    const [{ snapshot = '' } = {}] = JSON.parse(await p.run({}, 'backup', 'list', p.at('copy'), '--json')) as {
      snapshot?: string;
    }[];
    // As if it had come to an end before its last step.
    await writeFile(restoringMark(p.at('database')), JSON.stringify({ snapshot, backup: p.at('copy') }));
    await p.run(env, 'restore', p.at('copy'), ...root);
    assert.deepEqual(
      (await readdir(p.at('database/.meta'))).filter((file) => /access|keys/.test(file)),
      [],
    );
    {
      await using running = await startEntrepot({ root: p.at('database'), env: { ...env, ...RULES } });
      const tokens = [token, await tokenAt(running.url)];
      assert.deepEqual(await Promise.all(tokens.map((each) => pull(running.url, each))), [200, 200]);
      await p.run(env, 'user', 'disable', 'anna', ...root);
      await until('the server to hear of it', async () => (await pull(running.url, token)) === 401);
      assert.equal(await running.stop(), 0);
    }
    const records = await openPostgresAccess(to);
    assert.equal(await records.tokens.add(accessToken('next')), 4);
    await records.close();
    const { code, stderr } = await runEntrepot(['restore', p.at('copy'), '--root', p.at('other')], { env });
    assert.notEqual(code, 0);
    assert.match(stderr, /the database \S+ has accounts or keys already \(table (?:login|account)\)/);
    await assert.rejects(stat(p.at('other')), 'nothing was begun');
  });

  it('is not restored to a database that a server works on', async () => {
    const env = postgresEnvironment(await server.database());
    await using running = await startEntrepot({ root: p.at('served'), env });
    const { code, stderr } = await runEntrepot(['restore', p.at('copy'), '--root', p.at('beside')], { env });
    assert.notEqual(code, 0);
    assert.match(stderr, /a server on \S+ works on the database already/);
    await assert.rejects(stat(p.at('beside/docker')), 'nothing was copied');
    assert.equal((await fetch(`${running.url}/v2/`)).status, 200);
  });

  it('has none where there are none', async () => {
    await using empty = await place();
    const env = postgresEnvironment(await server.database());
    {
      await using opened = await openTestRegistry({ root: empty.at('root') });
      await pushBlob(opened.registry, APP, 'a blob');
    }
    await empty.run(env, 'backup', empty.at('copy'), '--root', empty.at('root'));
    assert.deepEqual(
      (await readdir(empty.at('copy/.meta/snapshots'))).map((file) => file.split('Z')[1]),
      ['.jsonl.gz'],
    );
    const to = await server.database();
    await empty.run(postgresEnvironment(to), 'restore', empty.at('copy'), '--root', empty.at('new'));
    // What tells servers that an account came.
    assert.equal((await server.query(to.database, 'SELECT count FROM change_count')).length, 1);
  });
});

function accessToken(text: string) {
  return {
    secretHash: text,
    name: text,
    owner: 'user:anna',
    scope: '{}',
    createdBy: 'anna',
    createdAt: 1,
    expiresAt: undefined,
  };
}

/** Three ids of access tokens were given out, and only the first row is there. */
async function useUpIds(server: PostgresServer, options: PostgresOptions): Promise<void> {
  const records = await openPostgresAccess(options);
  for (const text of ['one', 'two', 'three']) await records.tokens.add(accessToken(text));
  await records.close();
  await server.query(options.database, 'DELETE FROM access_token WHERE id > 1');
}
