import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { endpoints } from '../../server/endpoints.ts';
import type { Services } from '../../server/v2/services.ts';
import { NOWHERE, pushImage, repositoriesOf } from './content.ts';
import { assertRefused } from './refusal.ts';
import { describeService } from './suite.ts';

const ID = '00000000-0000-4000-8000-000000000000';
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'QUERY'];

/** What the distribution-spec's table of endpoints allows on each path. */
const ALLOWED: readonly (readonly [string, readonly string[]])[] = [
  ['/v2/', ['GET', 'HEAD']],
  ['/v2', ['GET', 'HEAD']],
  [`/v2/a/b/blobs/${NOWHERE}`, ['GET', 'HEAD', 'DELETE']],
  ['/v2/a/b/manifests/latest', ['GET', 'HEAD', 'PUT', 'DELETE']],
  [`/v2/a/b/manifests/${NOWHERE}`, ['GET', 'HEAD', 'PUT', 'DELETE']],
  ['/v2/a/b/blobs/uploads/', ['POST']],
  [`/v2/a/b/blobs/uploads/${ID}`, ['PATCH', 'PUT', 'GET', 'HEAD', 'DELETE']],
  ['/v2/a/b/tags/list', ['GET', 'HEAD']],
  [`/v2/a/b/referrers/${NOWHERE}`, ['GET', 'HEAD']],
  ['/v2/_catalog', ['GET', 'HEAD']],
  ['/livez', ['GET', 'HEAD']],
  ['/readyz', ['GET', 'HEAD']],
  ['/metrics', ['GET', 'HEAD']],
  ['/v1/_ping', ['GET', 'HEAD']],
  ['/v1/search', ['GET', 'HEAD']],
  ['/api/v1/read-only', ['GET', 'HEAD', 'PUT']],
  ['/api/v1/repositories/a/b', ['DELETE']],
];

describe('the table of endpoints', () => {
  const rows = endpoints({} as Services);

  it('has every id of the spec, and no other but the catalog', () => {
    const ids = [
      '1',
      '2',
      '3',
      '4a',
      '4b',
      '4c',
      '5',
      '6',
      '7a',
      '7b',
      '8a',
      '8b',
      '9',
      '10',
      '11',
      '12a',
      '12b',
      '13',
      '14',
    ];
    assert.deepEqual(new Set(rows.map(({ id }) => id)), new Set([...ids.map((id) => `end-${id}`), 'catalog']));
  });

  it('names every method of a path in the Allow that is tested below', () => {
    const tested = new Map(ALLOWED);
    const examples: Record<string, string> = {
      '<name>': 'a/b',
      '<digest>': NOWHERE,
      '<tag-or-digest>': 'latest',
      '<upload>': ID,
    };
    for (const row of rows) {
      const path = row.path.replaceAll(/<[^>]+>/g, (placeholder) => examples[placeholder] ?? '');
      for (const method of row.methods) assert.ok(tested.get(path)?.includes(method), `${row.id}: ${method} ${path}`);
    }
  });
});

describeService('methods', {}, (setup) => {
  for (const [path, allowed] of ALLOWED) {
    it(`${path} refuses every method but ${allowed.join(', ')}`, async () => {
      for (const method of METHODS.filter((each) => !allowed.includes(each))) {
        const answer = await setup.client.send(method, path);
        // A HEAD has no body to look at.
        if (method === 'HEAD') assert.equal(answer.status, 405);
        else assertRefused(answer, 405, 'UNSUPPORTED', /is not possible here, use /);
        assert.deepEqual(new Set(answer.header('Allow').split(', ')), new Set(allowed), method);
      }
    });

    it(`${path} does not refuse ${allowed.join(', ')} for the method`, async () => {
      for (const method of allowed) {
        const { status } = await setup.client.send(method, path, { headers: { 'If-Match': '"x"' } });
        assert.ok(status !== 405 && status < 500, `${method} ${status}`);
      }
    });
  }
});

describeService('paths that are taken as they come', {}, (setup) => {
  before(async () => {
    await pushImage(setup.client, 'a/b', 'v1');
  });

  const dirty = [
    '/v2/a%2Fb/tags/list',
    '/v2/a%2fb/tags/list',
    '/v2/a/../a/b/tags/list',
    '/v2/../v2/a/b/tags/list',
    '/v2/a/./b/tags/list',
    '/v2/./a/b/tags/list',
    '/v2//a/b/tags/list',
    '//v2/a/b/tags/list',
    '/v2/a//b/tags/list',
    '/v2/a/b/tags//list',
    '/v2/a/b//tags/list',
    '/v2/a\\b/tags/list',
    '/v2/a%5Cb/tags/list',
    '/v2/a/%2e%2e/a/b/tags/list',
    '/v2/a/%2E%2E/%2E%2E/etc/passwd',
    '/v2/..%2f..%2f..%2fetc/passwd/manifests/x',
    '/v2/a/b/manifests/..',
    '/v2/a/b/manifests/../../../../etc/passwd',
    '/v2/a/b/manifests/%2e%2e',
    '/v2/a/b/blobs/uploads/..',
    '/v2/a/b/tags/list%00',
    '/v2/a%00/tags/list',
    '/v2/..',
    '/v2/.',
    '/api/v1/repositories/a%2Fb',
    '/api/v1/repositories/../read-only',
    '/api/v1/repositories//a',
    '/api//v1/read-only',
    '/livez/..',
    '/../etc/passwd',
    '/v1/../v2/',
  ];
  for (const path of dirty) {
    it(`${path} is refused, never cleaned up and never redirected`, async () => {
      for (const method of ['GET', 'PUT', 'DELETE']) {
        const answer = await setup.client.send(method, path);
        assertRefused(answer, 400, 'NAME_INVALID', /^a path has no /);
        assert.equal(answer.headers.location, undefined);
      }
    });
  }

  const nowhere = [
    '/v2/a/b/tags/list/',
    '/v2/a/b/tags',
    '/v2/a/b/tags/',
    '/v2/a/b/tags/other',
    '/v2/a/b/manifests/',
    '/v2/a/b/manifests/v1/',
    '/v2/a/b/blobs/',
    '/v2/a/b',
    '/v2/a/b/',
    '/v2/_catalog/',
    '/v2/_catalog/x',
    '/v2/a/b/referrers/',
    `/v2/a/b/blobs/uploads/${ID}/`,
    '/v2x/',
    '/V2/',
    '/v2/A/B/TAGS/LIST',
    '/',
    '/v1/',
    '/v1/search/',
    '/api/v1',
    '/api/v1/',
    '/api/v2/read-only',
    '/api/v1/repositories/',
    '/favicon.ico',
    '/etc/passwd',
    '/%76%32/',
  ];
  for (const path of nowhere) {
    it(`${path} is nowhere`, async () => {
      for (const method of ['GET', 'DELETE']) {
        const answer = await setup.client.send(method, path);
        assertRefused(answer, 404, path.startsWith('/v2/') ? 'NAME_INVALID' : 'NAME_UNKNOWN');
        assert.equal(answer.headers.location, undefined);
      }
    });
  }

  const badNames = [
    'A',
    'a/B',
    '-a',
    'a-',
    '_a',
    'a_',
    'a..b',
    'a._b',
    'a___b',
    '.a',
    'a.',
    'a b'.replace(' ', '%20'),
    '%61',
    'a@b',
    'a:b',
    '%E4%BD%A0',
    'a/-',
    'x'.repeat(256),
  ];
  for (const name of badNames) {
    it(`refuses the name ${name.slice(0, 20)} everywhere`, async () => {
      const paths = [
        ['GET', `/v2/${name}/tags/list`],
        ['GET', `/v2/${name}/manifests/v1`],
        ['PUT', `/v2/${name}/manifests/v1`],
        ['GET', `/v2/${name}/blobs/${NOWHERE}`],
        ['POST', `/v2/${name}/blobs/uploads/`],
        ['PATCH', `/v2/${name}/blobs/uploads/${ID}`],
        ['GET', `/v2/${name}/referrers/${NOWHERE}`],
        ['DELETE', `/api/v1/repositories/${name}`],
      ] as const;
      for (const [method, path] of paths) {
        assertRefused(await setup.client.send(method, path), 400, 'NAME_INVALID', /^a repository name /);
      }
    });
  }

  it('an empty name is refused as well', async () => {
    for (const path of ['/v2/tags/list', '/v2/manifests/v1', `/v2/blobs/${NOWHERE}`]) {
      assertRefused(await setup.client.get(path), 400, 'NAME_INVALID');
    }
  });

  it('takes the longest name there may be', async () => {
    const name = `${'a'.repeat(127)}/${'b'.repeat(127)}`;
    await pushImage(setup.client, name, 'v1');
    assert.ok((await repositoriesOf(setup.client)).includes(name));
  });

  it('after all of that there is nothing but what was pushed', async () => {
    const names = (await repositoriesOf(setup.client)).filter((name) => name.length < 200);
    assert.deepEqual(names, ['a/b']);
  });
});
