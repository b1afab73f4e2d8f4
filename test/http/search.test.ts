import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import { pushBlob } from './content.ts';
import { describeOnDrivers } from './suite.ts';

interface Found {
  readonly num_results: number;
  readonly query: string;
  readonly results: readonly Record<string, unknown>[];
}

describeOnDrivers('search as docker and podman ask for it', (setup) => {
  const search = async (query: string) => {
    const answer = await setup.client.get(`/v1/search${query}`);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.header('Content-Type'), 'application/json');
    return answer.json() as Found;
  };
  const names = async (query: string) => (await search(query)).results.map(({ name }) => name);

  before(async () => {
    for (const name of ['nginx', 'library/nginx', 'nginx-unit', 'my/nginx/fork', 'redis'])
      await pushBlob(setup.client, name, 'x');
  });

  it('answers the ping', async () => {
    const answer = await setup.client.get('/v1/_ping');
    assert.equal(answer.status, 200);
    assert.equal(answer.header('X-Docker-Registry-Standalone'), 'true');
    assert.equal(answer.json(), true);
  });

  it('gives the best match first, in the form that the clients read', async () => {
    const found = await search('?q=nginx&n=25');
    assert.equal(found.num_results, 4);
    assert.equal(found.query, 'nginx');
    assert.equal(found.results[0]?.['name'], 'nginx');
    for (const result of found.results) {
      assert.equal(typeof result['description'], 'string');
      assert.equal(result['star_count'], 0);
      assert.equal(result['is_official'], false);
      assert.equal(result['is_automated'], false);
    }
  });

  it('pages', async () => {
    assert.equal((await names('?q=nginx&n=1')).length, 1);
    const all = [...(await names('?q=nginx&n=3&page=1')), ...(await names('?q=nginx&n=3&page=2'))];
    assert.equal(new Set(all).size, 4);
    assert.deepEqual(await names('?q=nginx&n=3&page=3'), []);
  });

  it('takes what people type', async () => {
    for (const term of ['NGINX', 'nginx:latest', '%20nginx%20', '*nginx*'])
      assert.equal((await names(`?q=${term}`)).length, 4, term);
    assert.equal((await names('?q=library/nginx')).length, 1);
    assert.equal((await names('')).length, 5);
  });

  for (const query of [
    '?q=%25',
    '?q=%00',
    '?q=_',
    "?q='",
    '?q=%F0%9F%92%A9',
    '?q=%ZZ',
    '?q=..',
    `?q=${'x'.repeat(5000)}`,
  ]) {
    it(`finds nothing for ${query.slice(0, 20)}`, async () => {
      assert.equal((await search(query)).num_results, 0);
    });
  }

  for (const query of ['n=-1', 'n=x', 'n=0', 'n=99999999999999999999', 'page=-1', 'page=0', 'page=x', 'n=']) {
    it(`passes over ${query}`, async () => {
      assert.equal((await names(`?q=redis&${query}`)).length, 1);
    });
  }

  it('a page far behind the end is empty', async () => {
    assert.deepEqual(await names('?q=redis&page=999999999'), []);
  });
});
