import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import jwt from 'jsonwebtoken';
import { temporaryDirectory } from '../harness/process.ts';
import { startService, type TestService } from '../harness/service.ts';
import { basic } from './accounts.ts';
import { MANIFEST, TYPE } from './access-table.ts';
import { Client } from './client.ts';
import { digestOf } from './content.ts';
import { bearer, challengeOf, sendWithToken } from './login.ts';
import {
  bearerOf,
  githubClaims,
  keyPair,
  kubernetesClaims,
  startIssuer,
  validNow,
  type Issuer,
} from './oidc-issuer.ts';
import { assertRefused } from './refusal.ts';

const UPLOAD = '/v2/acme/app/blobs/uploads/';
const IMAGE = '/v2/acme/app/manifests/v1';

describe('tokens of issuers that are trusted', () => {
  let service: TestService;
  let client: Client;
  let github: Issuer;
  let kubernetes: Issuer;
  let audit: string;
  const resources = new AsyncDisposableStack();
  const clock = { offset: 0 };
  const status = async (method: string, where: string, headers: Record<string, string>) =>
    (await client.send(method, where, { headers })).status;

  before(async () => {
    const directory = resources.use(await temporaryDirectory());
    github = resources.use(await startIssuer());
    kubernetes = resources.use(await startIssuer('ec'));
    audit = path.join(directory.path, 'audit');
    const audience = 'registry.example.com';
    const trust = [
      {
        name: 'main',
        issuer: github.url,
        audience,
        claims: { repository: 'acme/*', ref: ['refs/heads/main', 'refs/tags/**'] },
      },
      { name: 'any-branch', issuer: github.url, audience, claims: { sub: 'repo:acme/*:ref:**' } },
      {
        name: 'cluster',
        issuer: kubernetes.url,
        jwks: `${kubernetes.url}/keys`,
        audience,
        claims: { 'kubernetes.io.namespace': 'build', 'kubernetes.io.serviceaccount.name': ['kaniko', 'buildah'] },
      },
    ];
    const rules = [
      { who: 'trust:main', actions: ['pull', 'push'], repositories: 'acme/**' },
      { who: 'trust:any-branch', actions: 'pull', repositories: 'acme/**' },
      { who: 'trust:cluster', actions: ['pull', 'push'], repositories: 'build/**' },
      { who: 'authenticated', actions: 'all', repositories: 'members/**' },
      { who: 'root', actions: 'all' },
    ];
    service = resources.use(
      await startService({
        env: {
          ENTREPOT_ACCESS_TRUST: JSON.stringify(trust),
          ENTREPOT_ACCESS_RULES: JSON.stringify(rules),
          ENTREPOT_ACCESS_AUDIT: audit,
        },
        parts: { access: { wait: async () => {}, now: () => Date.now() + clock.offset } },
      }),
    );
    client = new Client(service.url);
    resources.defer(() => client.close());
    const token = basic('ci', github.sign(githubClaims(github.url)));
    assert.equal((await client.post(`${UPLOAD}?digest=${digestOf('{}')}`, '{}', token)).status, 201);
    assert.equal((await client.put(IMAGE, MANIFEST, { ...TYPE, ...token })).status, 201);
  });
  after(async () => {
    await resources.disposeAsync();
    assert.deepEqual(service.log.faults, []);
  });

  it('are a password, a Bearer token, and good for tokens of the registry', async () => {
    const token = github.sign(githubClaims(github.url));
    for (const headers of [basic('any', token), bearerOf(token)]) {
      assert.equal(await status('GET', IMAGE, headers), 200);
      assert.equal(await status('POST', UPLOAD, headers), 202);
      assert.equal(await status('DELETE', IMAGE, headers), 403);
      assert.equal(await status('GET', '/v2/other/app/manifests/v1', headers), 403);
      assert.equal(await status('GET', '/v2/members/app/manifests/v1', headers), 403, 'has no account');
    }
    const pushed = await sendWithToken(client, 'POST', UPLOAD, { credentials: basic('any', token) });
    assert.equal(pushed.status, 202);
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const fields = { grant_type: 'password', username: 'ci', password: token, scope: 'repository:acme/app:pull' };
    const body = new URLSearchParams({ ...fields, access_type: 'offline' }).toString();
    const answer = await client.post('/token', body, form);
    assert.ok(!('refresh_token' in (answer.json() as object)), 'nothing that outlives it');
    assert.equal(await status('GET', IMAGE, bearer(answer)), 200);
  });

  it('are the first trust whose claims they have', async () => {
    const branch = githubClaims(github.url, { ref: 'refs/heads/feature', sub: 'repo:acme/app:ref:refs/heads/feature' });
    const token = bearerOf(github.sign(branch));
    assert.equal(await status('GET', IMAGE, token), 200);
    assert.equal(await status('POST', UPLOAD, token), 403);
    const release = githubClaims(github.url, { ref: 'refs/tags/v1/rc' });
    assert.equal(await status('POST', UPLOAD, bearerOf(github.sign(release))), 202);
    const pod = bearerOf(kubernetes.sign(kubernetesClaims(kubernetes.url)));
    assert.equal(await status('POST', '/v2/build/app/blobs/uploads/', pod), 202);
    assert.equal(await status('POST', UPLOAD, pod), 403);
  });

  it('are refused when anything about them is another', async () => {
    const other = keyPair('rsa');
    const now = validNow();
    const gh = (more: object) => github.sign(githubClaims(github.url, more));
    const k8s = (more: object) => kubernetes.sign(kubernetesClaims(kubernetes.url, more));
    const { exp: _, ...endless } = githubClaims(github.url) as { exp?: number };
    const good = gh({});
    const [header = '', payload = '', signature = ''] = good.split('.');
    const publicKey = keyPair('rsa').publicKey.export({ type: 'spki', format: 'pem' });
    const forged: Record<string, string> = {
      'another repository': gh({ repository: 'evil/app', sub: 'repo:evil/app:ref:refs/heads/main' }),
      'a repository below it': gh({ repository: 'acme/app/x', sub: 'repo:x' }),
      'a repository that begins so': gh({ repository: 'acme-evil/app', sub: 'x' }),
      'no such claim': gh({ repository: undefined, sub: undefined }),
      'an object where a text belongs': gh({ repository: { toString: 'acme/app' }, sub: {} }),
      'another audience': gh({ aud: 'other' }),
      'no audience': gh({ aud: undefined }),
      'another issuer, with this key': gh({ iss: 'https://issuer.example.com' }),
      'the issuer with a slash behind': gh({ iss: `${github.url}/` }),
      'no issuer': gh({ iss: undefined }),
      'the other trusted issuer, with this key': gh({ iss: kubernetes.url }),
      expired: gh({ exp: now.exp - 400 }),
      'not valid yet': gh({ nbf: now.nbf + 100 }),
      'no end': github.sign(endless),
      'an end that is no number': `${header}.${Buffer.from(JSON.stringify({ ...endless, exp: 'x' })).toString('base64url')}.${signature}`,
      'another key': github.sign(githubClaims(github.url), { key: other.privateKey }),
      'another key under another name': github.sign(githubClaims(github.url), { key: other.privateKey, kid: 'new' }),
      'a key that it brings along': github.sign(githubClaims(github.url), {
        key: other.privateKey,
        header: { jwk: other.publicKey.export({ format: 'jwk' }) },
      }),
      'a critical extension': github.sign(githubClaims(github.url), { header: { crit: ['x'], x: 1 } }),
      'a shared secret': jwt.sign(githubClaims(github.url), publicKey, { algorithm: 'HS256', keyid: 'key-0' }),
      'no signature': `${Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')}.${payload}.`,
      'other claims': `${header}.${Buffer.from(JSON.stringify(githubClaims(github.url, { actor: 'eve' }))).toString('base64url')}.${signature}`,
      'another namespace': k8s({ 'kubernetes.io': { namespace: 'prod', serviceaccount: { name: 'kaniko' } } }),
      'another service account': k8s({ 'kubernetes.io': { namespace: 'build', serviceaccount: { name: 'default' } } }),
      'a namespace in the wrong place': k8s({ 'kubernetes.io': { pod: { namespace: 'build' } }, namespace: 'build' }),
    };
    for (const [what, token] of Object.entries(forged)) {
      const answer = await client.get(IMAGE, bearerOf(token));
      assertRefused(answer, 401, 'UNAUTHORIZED', /none of this registry, or not valid any more/);
      assert.equal(challengeOf(answer)['error'], 'invalid_token', what);
      const byPassword = await client.get(IMAGE, basic('ci', token));
      assertRefused(byPassword, 401, 'UNAUTHORIZED', /the user or the password is wrong/);
      assert.equal((await client.get('/token', basic('ci', token))).status, 401, what);
    }
    assert.equal(await status('GET', IMAGE, bearerOf(good)), 200);
    const reasons = service.log.lines.flatMap(({ fields }) => (fields['reasons'] as string[] | undefined) ?? []);
    for (const reason of [
      /^main: the claim repository is "evil\/app" and does not fit acme\/\*$/,
      /^main: the claim repository is missing/,
      /^main: jwt audience invalid\. expected: registry\.example\.com$/,
      /^main: jwt expired$/,
      /^main: jwt not active$/,
      /^main: it has no end/,
      /^main: it is signed with none of the keys/,
      /^main: invalid signature$/,
      /^main: its header is not one that is taken \(alg HS256\)/,
      /^no trust has the issuer "https:\/\/issuer\.example\.com"$/,
      /^cluster: the claim kubernetes\.io\.namespace is "prod"/,
    ]) {
      assert.ok(
        reasons.some((each) => reason.test(each)),
        `${reason}\n${reasons.join('\n')}`,
      );
    }
  });

  it('end when they end, with the tokens that were made from them', async () => {
    const token = github.sign(githubClaims(github.url, { exp: validNow().iat + 60 }));
    const answer = await client.get('/token?scope=repository:acme/app:pull', basic('ci', token));
    assert.ok((answer.json() as { expires_in: number }).expires_in <= 60);
    assert.equal(await status('GET', IMAGE, bearer(answer)), 200);
    clock.offset = 95_000;
    assert.equal(await status('GET', IMAGE, bearer(answer)), 401);
    assert.equal(await status('GET', IMAGE, bearerOf(token)), 401);
    clock.offset = 0;
  });

  it('stand in the audit with whom they are about', async () => {
    const token = github.sign(githubClaims(github.url));
    await client.get(IMAGE, bearerOf(token));
    await client.get('/token', basic(token, token));
    const lines = await readFile(audit, 'utf8');
    assert.match(
      lines,
      /"user":"trust:main","identity":"repo:acme\/app:ref:refs\/heads\/main","credential":"identity-token","tokenId":"example-id","action":"pull","repository":"acme\/app"/,
    );
    const seen = lines + JSON.stringify([service.log.entries, service.log.lines]);
    assert.ok(!seen.includes(token.split('.')[2] ?? '-'), 'the signature');
  });

  it('are checked with the keys that the issuer has by now, without asking it each time', async () => {
    const old = github.sign(githubClaims(github.url));
    const fetched = github.fetched.count;
    for (let i = 0; i < 20; i++) await client.get(IMAGE, bearerOf(old));
    assert.equal(github.fetched.count, fetched);
    github.rotate();
    const fresh = github.sign(githubClaims(github.url));
    clock.offset = 20_000;
    assert.equal(await status('GET', IMAGE, bearerOf(fresh)), 200, 'a key that was not there');
    assert.equal(github.fetched.count, fetched + 1);
    assert.equal(await status('GET', IMAGE, bearerOf(old)), 401, 'a key that is there no more');
    for (let i = 0; i < 20; i++)
      await client.get(IMAGE, bearerOf(github.sign(githubClaims(github.url), { kid: `no-${i}` })));
    assert.equal(github.fetched.count, fetched + 1, 'invented names of keys');
    clock.offset = 0;
  });
});

describe('a trust whose keys are not to be had', () => {
  it('asks clients to come again, and says why in the log; a file is looked at at the start', async () => {
    await using issuer = await startIssuer();
    await using directory = await temporaryDirectory();
    const trust = { name: 'ci', issuer: issuer.url, audience: 'registry.example.com', claims: { sub: '**' } };
    const env = (more: object) => ({
      ENTREPOT_ACCESS_TRUST: JSON.stringify([{ ...trust, ...more }]),
      ENTREPOT_ACCESS_RULES: '[{"who":"trust:ci","actions":"pull"}]',
    });
    const clock = { offset: 0 };
    const access = { now: () => Date.now() + clock.offset };
    await using service = await startService({ env: env({}), parts: { access } });
    const client = new Client(service.url);
    const token = bearerOf(issuer.sign(githubClaims(issuer.url)));
    const faults: [NonNullable<Issuer['broken']['answer']>, RegExp][] = [
      [{ status: 500, body: '' }, /answers 500/],
      [{ status: 302, body: '', headers: { Location: `${issuer.url}/keys` } }, /is not reached/],
      [{ status: 200, body: 'x' }, /is no JSON object/],
      [{ status: 200, body: '{"issuer":"https://other.example.com"}' }, /is the document of another issuer/],
      [
        { status: 200, body: JSON.stringify({ issuer: issuer.url, jwks_uri: 'http://example.com/' }) },
        /no keys under https/,
      ],
      [{ status: 200, body: 'x'.repeat(300_000) }, /more than 262144 bytes/],
    ];
    for (const [answer, reason] of faults) {
      issuer.broken.answer = answer;
      const refused = await client.get('/v2/a/manifests/v1', token);
      assertRefused(refused, 503, 'UNAVAILABLE', /cannot be fetched right now/);
      assert.equal(refused.header('Retry-After'), '10');
      const { message, fields } = service.log.lines.findLast(({ level }) => level === 'warn' && true) ?? assert.fail();
      assert.ok(message.startsWith('the keys of an issuer cannot be had') || message === 'a request failed', message);
      const warned = service.log.lines.findLast((line) => line.message === 'the keys of an issuer cannot be had');
      assert.match(String(warned?.fields['err']), reason, String(fields['err']));
      clock.offset += 20_000;
    }
    delete issuer.broken.answer;
    assert.equal((await client.get('/v2/a/manifests/v1', token)).status, 404);
    client.close();

    const file = path.join(directory.path, 'keys.json');
    await assert.rejects(startService({ env: env({ jwks: file }) }), {
      name: 'IssuerKeysError',
      message: new RegExp(`access\\.trust\\[0\\]\\.jwks: ${file} cannot be used: ENOENT`),
    });
    await writeFile(file, '{"keys": []}');
    await assert.rejects(startService({ env: env({ jwks: file }) }), /holds no RSA or EC key/);
  });
});
