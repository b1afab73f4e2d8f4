import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { NEW_KEY_WAITS_MS, OVERLAP_MS } from '../../server/auth/key-ring.ts';
import { SharedKeys } from '../../server/auth/shared-keys.ts';
import { openPostgresAccess, type AccessRecords } from '../../storage/metadata/access.ts';
import { openPostgresMetadata } from '../../storage/metadata/metadata.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';

describe('access over PostgreSQL', { skip: missingPostgres }, () => {
  let server: PostgresServer;
  before(async () => (server = await PostgresServer.start()));
  after(() => server[Symbol.asyncDispose]());

  async function openTwo(): Promise<readonly [AccessRecords, AccessRecords]> {
    const options = await server.database();
    const both = await Promise.all([openPostgresAccess(options), openPostgresAccess(options)]);
    // An index lies in the same database, and has versions of its own.
    await (await openPostgresMetadata(options)).close();
    return both;
  }

  it('what one server changes, the other has and notices', async () => {
    const [one, other] = await openTwo();
    const count = await other.changeCount();
    assert.equal(await one.accounts.add('anna', 'hash', 1), true);
    assert.equal(await other.accounts.add('anna', 'another', 1), false);
    assert.notEqual(await other.changeCount(), count);
    await other.accounts.setDisabled('anna', true, 2);
    assert.equal((await one.accounts.list())[0]?.isDisabled, true);
    const token = {
      secretHash: 'h',
      name: 'ci',
      owner: 'user:anna',
      scope: '{}',
      createdBy: 'anna',
      createdAt: 1,
      expiresAt: undefined,
    };
    const id = await one.tokens.add(token);
    assert.deepEqual(await other.tokens.good(5), [{ ...token, id, lastUsed: undefined, revokedAt: undefined }]);
    assert.equal(await other.tokens.revoke(id, 6), true);
    assert.deepEqual(await one.tokens.good(7), []);
    for (let number = 0; number < 5; number++) {
      const login = { account: 'anna', accountMark: 'm', client: 'c\0d', createdAt: number, secretHash: `s${number}` };
      await one.logins.add(login, 3);
    }
    assert.deepEqual([await other.logins.find('s1'), (await other.logins.find('s4'))?.client], [undefined, 'c\ufffdd']);
    await Promise.all([one.close(), other.close()]);
  });

  it('the first key is made once, by whoever comes first, and a new one is used when all have seen it', async () => {
    const [one, other] = await openTwo();
    let now = 1_700_000_000_000;
    const at = () => now;
    const [here, there] = await Promise.all([
      SharedKeys.open(one.signingKeys, at),
      SharedKeys.open(other.signingKeys, at),
    ]);
    const first = here.signer.id;
    assert.equal(there.signer.id, first);
    now += 1_000_000;
    const second = await here.rotate();
    assert.equal(here.signer.id, first, 'others have to see the new one first');
    assert.equal(there.find(second), undefined);
    await there.reload();
    assert.notEqual(there.find(second), undefined);
    now += NEW_KEY_WAITS_MS;
    assert.deepEqual([here.signer.id, there.signer.id], [second, second]);
    now += OVERLAP_MS;
    const third = await there.rotate();
    await here.reload();
    assert.deepEqual(
      here.keys.map(({ id }) => id),
      [second, third],
    );
    await Promise.all([one.close(), other.close()]);
  });

  it('the commands and a server that asks for passwords meet in the database, and nothing of it lies in the root', async () => {
    await using directory = await temporaryDirectory();
    const options = await server.database();
    const env = {
      ...postgresEnvironment(options),
      ENTREPOT_ACCESS_RULES: JSON.stringify([{ who: 'authenticated', repositories: '**', actions: ['pull', 'push'] }]),
    };
    const root = directory.path;
    await using running = await startEntrepot({ root, env });
    const added = await runEntrepot(['user', 'add', 'anna', '--root', root], { env, input: 'a long password\n' });
    assert.equal(added.code, 0, added.stderr);
    const login = () =>
      fetch(`${running.url}/token?service=entrepot&scope=repository:a:pull`, {
        headers: { Authorization: `Basic ${Buffer.from('anna:a long password').toString('base64')}` },
      });
    let answer = await login();
    for (let attempt = 0; answer.status !== 200 && attempt < 50; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      answer = await login();
    }
    const text = await answer.text();
    assert.equal(answer.status, 200, text);
    const { token } = JSON.parse(text) as { token: string };
    const rotated = await runEntrepot(['keys', 'rotate', '--root', root], { env });
    assert.equal(rotated.code, 0, rotated.stderr);
    const catalog = await fetch(`${running.url}/v2/`, { headers: { Authorization: `Bearer ${token}` } });
    assert.equal(catalog.status, 200);
    const names = await readdir(`${root}/.meta`);
    assert.deepEqual(
      names.filter((name) => /access\.db|index\.db|keys\.json/.test(name)),
      [],
    );
    assert.equal((await server.query(options.database, 'SELECT * FROM signing_key')).length, 2);
  });
});
