import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { run } from '../clients/command.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { startService, type TestService } from '../harness/service.ts';
import { MANIFEST, TYPE } from './access-table.ts';
import { basic, htpasswdFile } from './accounts.ts';
import { Client } from './client.ts';
import { digestOf, imageManifest } from './content.ts';
import { challengeOf } from './login.ts';
import { bearerOf, keyPair, startIssuer, validNow, type Issuer, type SignOptions } from './oidc-issuer.ts';
import { assertRefused } from './refusal.ts';
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { until } from './until.ts';

const IMAGE = '/v2/team/app/manifests/v1';
const REALM = 'https://auth.example.com/token';

/** As token servers for Distribution name their keys, from its description: not with our own code. */
function libtrustName(key: KeyObject): string {
  const bytes = createHash('sha256')
    .update(createPublicKey(key).export({ type: 'spki', format: 'der' }))
    .digest();
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  let value = BigInt(`0x${bytes.subarray(0, 30).toString('hex')}`);
  let letters = '';
  for (let i = 0; i < 48; i++) {
    letters = alphabet.charAt(Number(value & 31n)) + letters;
    value >>= 5n;
  }
  return letters.replaceAll(/.{4}(?=.)/g, '$&:');
}

async function certificate(directory: string, name: string): Promise<{ key: KeyObject; pem: string }> {
  const [key, file] = [path.join(directory, `${name}.key`), path.join(directory, `${name}.pem`)];
  const subject = ['-subj', `/CN=${name}`, '-days', '2', '-keyout', key, '-out', file];
  await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject]);
  return { key: createPrivateKey(await readFile(key)), pem: await readFile(file, 'utf8') };
}

const claims = (access: unknown, more: object = {}) => ({
  iss: 'auth.example.com',
  aud: 'registry',
  sub: 'alice',
  jti: 'x',
  ...validNow(),
  access,
  ...more,
});
const repository = (actions: string[], name = 'team/app', type = 'repository') => [{ type, name, actions }];

describe('tokens of a token server that was there before', () => {
  const resources = new AsyncDisposableStack();
  let service: TestService;
  let client: Client;
  let signer: { key: KeyObject; pem: string };
  let other: { key: KeyObject; pem: string };
  let bundle: string;
  let issuer: Issuer;

  const sign = (access: unknown, options: SignOptions & { more?: object } = {}) =>
    bearerOf(issuer.sign(claims(access, options.more), { key: signer.key, kid: libtrustName(signer.key), ...options }));
  const status = async (method: string, where: string, headers: Record<string, string>) =>
    (await client.send(method, where, { headers })).status;

  before(async () => {
    const directory = resources.use(await temporaryDirectory());
    issuer = resources.use(await startIssuer());
    signer = await certificate(directory.path, 'signer');
    other = await certificate(directory.path, 'other');
    bundle = path.join(directory.path, 'bundle.pem');
    await writeFile(bundle, `${other.pem}\n${signer.pem}`);
    const accounts = resources.use(await htpasswdFile(['root']));
    service = resources.use(
      await startService({
        env: {
          ENTREPOT_ACCESS_ISSUER_REALM: REALM,
          ENTREPOT_ACCESS_ISSUER_SERVICE: 'registry',
          ENTREPOT_ACCESS_ISSUER_ISSUER: 'auth.example.com',
          ENTREPOT_ACCESS_ISSUER_CERTIFICATES: bundle,
          ENTREPOT_ACCESS_HTPASSWD: accounts.path,
        },
      }),
    );
    client = new Client(service.url);
    resources.defer(() => client.close());
    const push = sign(repository(['pull', 'push']));
    const upload = `/v2/team/app/blobs/uploads/?digest=${digestOf('{}')}`;
    assert.equal((await client.post(upload, '{}', push)).status, 201);
    assert.equal((await client.put(IMAGE, MANIFEST, { ...TYPE, ...push })).status, 201);
  });
  after(async () => {
    await resources.disposeAsync();
    assert.deepEqual(service.log.faults, []);
  });

  it('are what clients are told to get', async () => {
    const refused = await client.get(IMAGE);
    assertRefused(refused, 401, 'UNAUTHORIZED');
    assert.deepEqual(challengeOf(refused), { realm: REALM, service: 'registry', scope: 'repository:team/app:pull' });
    assert.equal(await status('GET', IMAGE, basic('root')), 200, 'accounts of our own still log in');
  });

  it('allow what they grant, and no rule is asked', async () => {
    const pull = sign(repository(['pull']));
    assert.equal(await status('GET', IMAGE, pull), 200);
    assert.equal(await status('POST', '/v2/team/app/blobs/uploads/', pull), 401);
    assert.equal(await status('DELETE', IMAGE, pull), 401);
    assert.equal(await status('GET', '/v2/team/other/manifests/v1', pull), 401);
    assert.equal(await status('GET', '/v2/_catalog', pull), 401);
    const refused = await client.get('/v2/team/other/manifests/v1', pull);
    assert.equal(challengeOf(refused)['error'], 'insufficient_scope');
    const moved = imageManifest('{}', [], { annotations: { a: 'b' } });
    const push = sign(repository(['push', 'pull', 'fly']));
    assert.equal((await client.put(IMAGE, moved, { ...TYPE, ...push })).status, 201, 'as in Distribution, tags move');
    assert.equal((await client.put(IMAGE, MANIFEST, { ...TYPE, ...push })).status, 201);
    assert.equal(await status('DELETE', '/v2/team/app/manifests/none', sign(repository(['*']))), 404);
    assert.equal(await status('GET', IMAGE, sign(repository(['pull'], 'team/app', 'repository(plugin)'))), 200);
    const catalog = await client.get('/v2/_catalog', sign([{ type: 'registry', name: 'catalog', actions: ['*'] }]));
    assert.deepEqual(catalog.json(), { repositories: ['team/app'] });
    const admin = sign([{ type: 'registry', name: 'admin', actions: ['*'] }]);
    assert.equal(await status('GET', '/api/v1/read-only', admin), 401, 'nobody runs this server by them');
    for (const access of [undefined, 'x', [null, 1, {}], [{ type: 'repository', name: '../x', actions: ['pull'] }]]) {
      assert.equal(await status('GET', IMAGE, sign(access)), 401);
      assert.equal(await status('GET', '/v2/', sign(access)), 200, 'a login all the same');
    }
  });

  it('name their key in every way that is usual', async () => {
    const access = repository(['pull']);
    const { key, pem } = signer;
    const jwk = createPublicKey(key).export({ format: 'jwk' });
    const thumbprint = createHash('sha256')
      .update(JSON.stringify({ e: jwk.e, kty: jwk.kty, n: jwk.n }))
      .digest('base64url');
    const x5c = [new X509Certificate(pem).raw.toString('base64')];
    for (const options of [{}, { kid: thumbprint }, { kid: null, header: { x5c } }]) {
      assert.equal(await status('GET', IMAGE, sign(access, options)), 200, JSON.stringify(options).slice(0, 50));
    }
    assert.equal(await status('GET', IMAGE, sign(access, { key: other.key, kid: libtrustName(other.key) })), 200);
  });

  it('are refused when anything about them is another', async () => {
    const access = repository(['pull']);
    const stranger = keyPair('rsa');
    const { pem } = await certificate(path.dirname(bundle), 'stranger');
    const x5c = [
      new X509Certificate(pem).raw.toString('base64'),
      new X509Certificate(signer.pem).raw.toString('base64'),
    ];
    const wrong: Record<string, Parameters<typeof sign>[1]> = {
      'another key': { key: stranger.privateKey },
      'a certificate that it brings along': { key: stranger.privateKey, kid: null, header: { x5c } },
      'a key that it brings along': {
        key: stranger.privateKey,
        kid: null,
        header: { jwk: stranger.publicKey.export({ format: 'jwk' }) },
      },
      'no name of a key, where there are several': { kid: null },
      'another issuer': { more: { iss: 'other' } },
      'another service': { more: { aud: 'other' } },
      expired: { more: { exp: validNow().exp - 400 } },
      'not valid yet': { more: { nbf: validNow().nbf + 100 } },
      'no end': { more: { exp: undefined } },
    };
    for (const [what, options] of Object.entries(wrong)) {
      const answer = await client.get(IMAGE, sign(access, options));
      assert.equal(answer.status, 401, what);
      assert.equal(challengeOf(answer)['error'], 'invalid_token', what);
    }
  });

  it('are checked with the bundle as it is by now', async () => {
    const token = sign(repository(['pull']), { more: { jti: 'kept' } });
    const fresh = () => sign(repository(['pull']), { more: { jti: String(Math.random()) } });
    assert.equal(await status('GET', IMAGE, token), 200);
    await writeFile(bundle, other.pem);
    await until('the other bundle', async () => (await status('GET', IMAGE, fresh())) === 401);
    await writeFile(bundle, 'half written');
    await until('the fault', () =>
      service.log.lines.some(({ message }) => message.startsWith('the keys of an issuer')),
    );
    await writeFile(bundle, signer.pem);
    await until('the bundle', async () => (await status('GET', IMAGE, fresh())) === 200);
  });
});

it('what was signed with a key that is taken away ends within minutes, however long it says to be good', async () => {
  await using issuer = await startIssuer('ec');
  const clock = { offset: 0 };
  await using service = await startService({
    env: {
      ENTREPOT_ACCESS_ISSUER_REALM: REALM,
      ENTREPOT_ACCESS_ISSUER_SERVICE: 'registry',
      ENTREPOT_ACCESS_ISSUER_ISSUER: 'auth.example.com',
      ENTREPOT_ACCESS_ISSUER_JWKS: `${issuer.url}/keys`,
      ENTREPOT_ACCESS_TRUST: JSON.stringify([{ name: 'ci', issuer: issuer.url, audience: 'r', claims: { sub: 'x' } }]),
      ENTREPOT_ACCESS_RULES: '[{"who":"trust:ci","actions":"pull"}]',
    },
    parts: { access: { now: () => Date.now() + clock.offset } },
  });
  const client = new Client(service.url);
  const stolen = bearerOf(issuer.sign(claims(repository(['pull']), { exp: validNow().iat + 1e9 })));
  assert.equal((await client.get(IMAGE, stolen)).status, 404);
  issuer.rotate();
  clock.offset = 301_000 + 11 * 60_000;
  await client.get(IMAGE, stolen);
  clock.offset += 301_000;
  await until('the end of the key', async () => (await client.get(IMAGE, stolen)).status === 401);
  // And what is another issuer's does not depend on this one's keys.
  issuer.broken.answer = { status: 500, body: '' };
  clock.offset += 25 * 3600_000;
  assert.equal((await client.get(IMAGE, bearerOf('eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl'))).status, 401);
  const odd = bearerOf(issuer.sign(claims([{ type: 'repository', name: 'a', actions: [{ toString: 1 }] }])));
  assert.equal((await client.get(IMAGE, odd)).status, 503);
  client.close();
});

it('a token server may publish its keys instead', async () => {
  await using issuer = await startIssuer('ec');
  const clock = { offset: 0 };
  await using service = await startService({
    env: {
      ENTREPOT_ACCESS_ISSUER_REALM: REALM,
      ENTREPOT_ACCESS_ISSUER_SERVICE: 'registry',
      ENTREPOT_ACCESS_ISSUER_ISSUER: 'auth.example.com',
      ENTREPOT_ACCESS_ISSUER_JWKS: `${issuer.url}/keys`,
    },
    parts: { access: { now: () => Date.now() + clock.offset } },
  });
  const client = new Client(service.url);
  const ask = async (more: object = {}) =>
    (await client.get(IMAGE, bearerOf(issuer.sign(claims(repository(['pull']), more))))).status;
  assert.deepEqual([await ask(), await ask({ iss: 'other' })], [404, 401]);
  assert.equal((await client.get(IMAGE)).status, 401);
  assert.equal((await client.get(IMAGE, basic('root'))).status, 401, 'no rule lets anybody in by a password');
  issuer.rotate();
  clock.offset = 20_000;
  assert.deepEqual([await ask({ jti: 'new' }), issuer.fetched.count], [404, 2]);
  client.close();
});
