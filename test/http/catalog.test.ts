import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { pushBlob, pushImage, repositoriesOf } from './content.ts';
import { follow, nextOf } from './links.ts';
import { assertRefused } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

const NAMES = ['a', 'a-b', 'a.b', 'a/b', 'a/b/c', 'a0', 'a_b', 'b', 'library/nginx', 'z'];

describeOnDrivers('the catalog', (setup) => {
  const read = async (query: string) => {
    const answer = await setup.client.get(`/v2/_catalog${query}`);
    assert.equal(answer.status, 200, answer.text);
    return { answer, repositories: (answer.json() as { repositories: string[] }).repositories };
  };

  before(async () => {
    assert.deepEqual(await repositoriesOf(setup.client), []);
    for (const name of NAMES.toReversed()) await pushBlob(setup.client, name, 'x');
  });

  it('gives all repositories in the order of their bytes', async () => {
    assert.deepEqual((await read('')).repositories, NAMES);
    assert.equal((await setup.client.head('/v2/_catalog')).status, 200);
  });

  for (const n of [1, 3, 9, 10]) {
    it(`gives them in pages of ${n}`, async () => {
      const pages = (await follow(setup.client, `/v2/_catalog?n=${n}`)).map(
        (page) => (page.json() as { repositories: string[] }).repositories,
      );
      assert.deepEqual(pages.flat(), NAMES);
      assert.equal(pages.length, Math.ceil(NAMES.length / n));
    });
  }

  it('n=0 gives none, a huge n all of them', async () => {
    const { answer, repositories } = await read('?n=0');
    assert.deepEqual(repositories, []);
    assert.equal(nextOf(answer), undefined);
    assert.deepEqual((await read('?n=99999999999999999999')).repositories, NAMES);
  });

  it('last need not exist', async () => {
    assert.deepEqual((await read('?last=a/b/b')).repositories, NAMES.slice(NAMES.indexOf('a/b/c')));
    assert.deepEqual((await read('?last=zz')).repositories, []);
    assert.deepEqual((await read('?last=%2e%2e%2f')).repositories, NAMES);
  });

  for (const n of ['-1', 'x', '']) {
    it(`refuses n=${n}`, async () => {
      assertRefused(await setup.client.get(`/v2/_catalog?n=${n}`), 400, 'UNSUPPORTED', /n is the number/);
    });
  }

  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
    it(`${method} is not possible`, async () => {
      const answer = await setup.client.send(method, '/v2/_catalog');
      assertRefused(answer, 405, 'UNSUPPORTED');
      assert.equal(answer.header('Allow'), 'GET, HEAD');
    });
  }

  it('a repository is in it until it is deleted', async () => {
    await pushImage(setup.client, 'passing', 'v1');
    assert.ok((await repositoriesOf(setup.client)).includes('passing'));
    assert.equal((await setup.client.delete('/api/v1/repositories/passing')).status, 204);
    assert.ok(!(await repositoriesOf(setup.client)).includes('passing'));
  });
});
