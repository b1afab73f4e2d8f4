import assert from 'node:assert/strict';
import { it } from 'node:test';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

describeOnDrivers('end-1, the base', (setup) => {
  for (const path of ['/v2/', '/v2', '/v2/?ns=docker.io', '/v2?ns=docker.io']) {
    it(`GET ${path} says that this is a registry`, async () => {
      const answer = await setup.client.get(path);
      assert.equal(answer.status, 200);
      assert.equal(answer.header('Content-Type'), 'application/json');
      assert.equal(answer.header('Docker-Distribution-API-Version'), 'registry/2.0');
      assert.deepEqual(answer.json(), {});
    });
  }

  it('HEAD has the length of GET and no body', async () => {
    const answer = await setup.client.head('/v2/');
    assert.equal(answer.status, 200);
    assert.equal(answer.header('Content-Length'), '2');
    assert.equal(answer.bytes.length, 0);
  });

  it('keeps the connection for the next request', async () => {
    const answer = await setup.client.get('/v2/');
    assert.notEqual(answer.headers.connection, 'close');
  });

  it('gives every answer an id of its own', async () => {
    const [first, second] = [await setup.client.get('/v2/'), await setup.client.get('/v2/')];
    assert.notEqual(first.header('X-Request-Id'), second.header('X-Request-Id'));
  });

  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    it(`${method} is not possible`, async () => {
      const answer = await setup.client.send(method, '/v2/');
      assertRefused(answer, 405, 'UNSUPPORTED', /use GET, HEAD/);
      assert.equal(answer.header('Allow'), 'GET, HEAD');
    });
  }
});
