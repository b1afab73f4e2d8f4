import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { startService, type TestService } from '../harness/service.ts';
import { MANIFEST, TYPE } from './access-table.ts';
import { accessToken, basic, htpasswdFile } from './accounts.ts';
import { Client, type Answer } from './client.ts';
import { digestOf } from './content.ts';
import { bearer, tokenFor } from './login.ts';
import { assertRefused } from './refusal.ts';
import { until } from './until.ts';
import { UnusableTables } from './unusable-tables.ts';

const IMAGE = '/v2/team/app/manifests/v1';
const SCOPE = 'repository:team/app:pull,push';
const RULES = [
  { who: 'root', actions: 'all' },
  { who: ['writer', 'robot:builder'], actions: ['pull', 'push'], repositories: 'team/**' },
];

function assertAway(answer: Answer): void {
  assertRefused(answer, 503, 'UNAVAILABLE');
  assert.ok(Number(answer.header('Retry-After')) > 0);
}

describe('access while neither the index nor the accounts can be asked', () => {
  let service: TestService;
  let client: Client;
  let file: Awaited<ReturnType<typeof htpasswdFile>>;
  let index: UnusableTables;
  let accounts: UnusableTables;
  const clock = { offset: 0 };

  const get = (headers: Record<string, string>) => client.get(IMAGE, headers);
  const tokenOf = (headers: Record<string, string>, scope = SCOPE) =>
    tokenFor(client, { realm: `${service.url}/token`, service: 'entrepot', scope }, headers);
  const refreshed = (token: string) =>
    client.post('/token', `grant_type=refresh_token&service=entrepot&scope=${SCOPE}&refresh_token=${token}`, {
      'Content-Type': 'application/x-www-form-urlencoded',
    });

  before(async () => {
    file = await htpasswdFile(['root', 'writer', 'reader']);
    const env = { ENTREPOT_ACCESS_HTPASSWD: file.path, ENTREPOT_ACCESS_RULES: JSON.stringify(RULES) };
    service = await startService({
      env,
      parts: { access: { wait: async () => {}, now: () => Date.now() + clock.offset } },
    });
    client = new Client(service.url);
    const upload = `/v2/team/app/blobs/uploads/?digest=${digestOf('{}')}`;
    assert.equal((await client.post(upload, '{}', basic('root'))).status, 201);
    assert.equal((await client.put(IMAGE, MANIFEST, { ...TYPE, ...basic('root') })).status, 201);
    index = new UnusableTables(service.root, 'index.db', ['repository', 'state']);
    accounts = new UnusableTables(service.root, 'access.db', ['change_count', 'login']);
  });
  after(async () => {
    client.close();
    await service[Symbol.asyncDispose]();
    await file[Symbol.asyncDispose]();
  });

  /** Until the process has noticed. */
  const away = async () => {
    index.away();
    accounts.away();
    await until('the outage is noticed', async () => (await get(basic('nobody', 'x'))).status === 503);
  };
  const back = async () => {
    index.back();
    accounts.back();
    await until('the end of it is noticed', async () => (await get(basic('nobody', 'x'))).status === 401);
  };

  it('who is known goes on, whom nobody knows is told to come again, and neither is refused for what was not decided', async () => {
    const known = await accessToken(client, { robot: 'builder', repositories: ['team/**'] });
    const byPassword = bearer(await tokenOf(basic('writer')));
    const byToken = bearer(await tokenOf(basic('any', known.token)));
    const offline = await client.get(
      `/token?service=entrepot&scope=${SCOPE}&offline_token=true&client_id=test`,
      basic('writer'),
    );
    const refresh = (offline.json() as { refresh_token: string }).refresh_token;
    const working = [basic('writer'), basic('any', known.token), byPassword, byToken];
    for (const headers of working) assert.equal((await get(headers)).status, 200);
    assert.equal((await refreshed(refresh)).status, 200);
    await away();

    for (const headers of working) assert.equal((await get(headers)).status, 200, JSON.stringify(headers));
    const issued = [await tokenOf(basic('writer')), await tokenOf(basic('any', known.token)), await refreshed(refresh)];
    for (const answer of issued) {
      assert.equal((await get(bearer(answer))).status, 200);
      assertAway(await client.post('/v2/team/app/blobs/uploads/', '', bearer(answer)));
    }

    const otherToken = known.token.slice(0, -1) + (known.token.endsWith('A') ? 'B' : 'A');
    for (const headers of [basic('nobody', 'x'), basic('writer', 'a wrong one'), basic('any', otherToken)]) {
      assertAway(await get(headers));
      assertAway(await tokenOf(headers));
    }
    assertAway(await refreshed(refresh.slice(0, -1) + (refresh.endsWith('A') ? 'B' : 'A')));
    // Nobody has asked about it yet: whether it is there, and which one.
    assertAway(await tokenOf(basic('root'), 'repository:team/unknown:pull'));
    // Decided by what does not change: the rules, and the end of a token.
    assertRefused(await get(basic('reader')), 403, 'DENIED');
    clock.offset = 3_600_000;
    assertRefused(await get(byPassword), 401, 'UNAUTHORIZED');
    clock.offset = 0;
    // Something that has to be written down.
    assertAway(await client.get(`/token?service=entrepot&offline_token=true&client_id=test`, basic('writer')));

    await back();
    for (const headers of working) assert.equal((await get(headers)).status, 200);
    assertRefused(await get(basic('writer', 'a wrong one')), 401, 'UNAUTHORIZED');
    assert.equal((await tokenOf(basic('root'), 'repository:team/unknown:pull')).status, 200);
    assert.equal((await client.delete(`/api/v1/tokens/${known.id}`, basic('root'))).status, 204);
    for (const headers of [basic('any', known.token), byToken]) assertRefused(await get(headers), 401, 'UNAUTHORIZED');
  });
});
