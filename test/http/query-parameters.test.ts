import assert from 'node:assert/strict';
import { it } from 'node:test';
import { pushImage } from './content.ts';
import { assertHeadRefused, assertRefused } from './refusal.ts';
import { describeService } from './suite.ts';

/** Every endpoint below `/api/v1`, with the query parameters that it has. */
const ENDPOINTS: readonly (readonly [method: string, path: string, ...parameters: readonly string[]])[] = [
  ['GET', 'repositories/app/size'],
  ['GET', 'repositories/app/tags/v1/size'],
  ['GET', 'repositories/app/tags/v1/history', 'n', 'last'],
  ['POST', 'repositories/app/tags/v1/restore'],
  ['DELETE', 'repositories/app'],
  ['DELETE', 'repositories/app/size'],
  ['GET', 'size', 'repository'],
  ['GET', 'quotas'],
  ['GET', 'read-only'],
  ['PUT', 'read-only'],
  ['GET', 'users'],
  ['POST', 'users'],
  ['PATCH', 'users/alice'],
  ['GET', 'tokens'],
  ['POST', 'tokens'],
  ['DELETE', 'tokens/one'],
  ['GET', 'tasks'],
  ['GET', 'tasks/1'],
  ['DELETE', 'tasks/1'],
  ['GET', 'gc'],
  ['GET', 'gc/plan', 'n', 'last'],
  ['POST', 'gc/run'],
  ['POST', 'gc/undo'],
  ['PUT', 'gc/hold'],
  ['DELETE', 'gc/hold/one'],
  ['POST', 'retention/preview', 'repository'],
  ['POST', 'retention/run'],
  ['GET', 'integrity'],
  ['POST', 'integrity/fsck', 'repair', 'quick'],
];

/** Accounts have endpoints only where there may be some. */
const RULES = [
  { who: 'alice', actions: 'all' },
  { who: 'anonymous', actions: ['pull', 'push'] },
];

describeService('/api/v1', { env: { ENTREPOT_ACCESS_RULES: JSON.stringify(RULES) } }, (setup) => {
  it('query parameters are refused where there are none such, by an answer that names those that there are, and does nothing', async () => {
    const { client } = setup;
    await pushImage(client, 'app', 'v1');
    for (const [method, path, ...parameters] of ENDPOINTS) {
      const named = parameters.length === 0 ? 'there are none here' : `here there are: ${parameters.join(', ')}`;
      for (const query of ['repositorys=x', 'constructor=', ...parameters.map((name) => `${name}=1&Repository`)]) {
        const { detail } = assertRefused(await client.send(method, `/api/v1/${path}?${query}`), 400, 'UNSUPPORTED');
        assert.match(detail.reason, /^unknown query parameter "(repositorys|constructor|Repository)"; /, path);
        assert.ok(detail.reason.endsWith(named), `${path}: ${detail.reason}`);
      }
    }
    assert.equal((await client.get('/v2/app/manifests/v1')).status, 200);
    assertHeadRefused(await client.head('/api/v1/size?repositories=x'), 400);
  });
});

describeService('query parameters below /api/v1', {}, (setup) => {
  it('are refused twice where one counts', async () => {
    const { client } = setup;
    for (const path of ['gc/plan?n=1&n=2', 'repositories/app/tags/v1/history?n=1&last=1&last=2']) {
      assertRefused(await client.get(`/api/v1/${path}`), 400, 'UNSUPPORTED', /(n|last) is given more than once/);
    }
    assert.equal((await client.get('/api/v1/size?repository=a/**&repository=b/**')).status, 200);
  });

  it('have one name for patterns of repositories', async () => {
    const { client } = setup;
    const asked = await client.send('POST', '/api/v1/retention/preview?repository=team/**');
    assert.equal(asked.status, 202);
    const task = (await client.get(asked.header('Location') ?? '')).json() as { argument: unknown };
    assert.deepEqual(task.argument, { pattern: 'team/**' });
  });

  it('are ignored elsewhere, as ever', async () => {
    for (const path of ['/livez?x=1', '/v1/search?q=a&x=1', '/v2/?x=1']) {
      assert.equal((await setup.client.get(path)).status, 200, path);
    }
  });
});
