import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import jwt from 'jsonwebtoken';
import { parseRepositoryName } from '../../oci/names.ts';
import { KeyFile } from '../../server/auth/key-file.ts';
import { NEW_KEY_WAITS_MS, OVERLAP_MS } from '../../server/auth/key-ring.ts';
import { parseScopes } from '../../server/auth/scope.ts';
import { createFleetingKeys, jwksOf } from '../../server/auth/signing-keys.ts';
import { Tokens, type TokenAccess } from '../../server/auth/tokens.ts';
import { temporaryDirectory } from '../harness/process.ts';

const NOW = Date.parse('2026-06-01T12:00:00Z');
const ACCESS: readonly TokenAccess[] = [
  { type: 'repository', name: parseRepositoryName('team/app'), actions: ['pull', 'push'], generation: 7 },
  { type: 'registry', name: 'catalog', actions: ['*'] },
];

function setUp() {
  const state = { now: NOW };
  const keys = createFleetingKeys(NOW);
  const tokens = new Tokens({ keys, service: 'entrepot', lifetimeMs: 300_000, now: () => state.now });
  return { state, keys, tokens };
}

const claims = (more: object = {}) => {
  const seconds = NOW / 1000;
  const times = { iat: seconds, nbf: seconds, exp: seconds + 300 };
  return { iss: 'entrepot', aud: 'entrepot', sub: 'alice', ...times, jti: 'x', access: ACCESS, ...more };
};
const base64 = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('a token', () => {
  it('says what it was made for, for as long as it is valid', async () => {
    const { state, tokens } = setUp();
    const { token: text, seconds } = await tokens.sign({ user: 'alice', access: ACCESS, id: 'x' });
    assert.equal(seconds, 300);
    const read = await tokens.verify(text);
    assert.deepEqual(read, { id: 'x', user: 'alice', access: ACCESS, issuedAt: NOW, expiresAt: NOW + 300_000 });
    state.now = NOW + 329_000;
    assert.notEqual(await tokens.verify(text), undefined);
    state.now = NOW + 331_000;
    assert.equal(await tokens.verify(text), undefined);
    state.now = NOW - 31_000;
    assert.equal(await tokens.verify(text), undefined, 'not valid yet');
    state.now = NOW;
    const nobodys = await tokens.sign({ user: undefined, access: [], id: 'x' });
    assert.deepEqual((await tokens.verify(nobodys.token))?.access, []);
    const made = { user: 'robot:ci', access: ACCESS, id: 'x', via: 'access-token:7' };
    assert.equal((await tokens.verify((await tokens.sign(made)).token))?.via, 'access-token:7');
    const short = await tokens.sign({ ...made, notAfter: NOW + 60_500 });
    assert.equal(short.seconds, 60, 'no longer than what it was made from');
    assert.equal((await tokens.verify(short.token))?.expiresAt, NOW + 60_000);
    const shown = await tokens.sign({ user: 'alice', access: [], id: 'x', via: 'certificate' });
    assert.equal((await tokens.verify(shown.token))?.via, 'certificate');
  });

  it('is refused when any claim is another, missing or of another form', async () => {
    const { keys, tokens } = setUp();
    const { privateKey, id } = keys.signer;
    const sign = (payload: object) => jwt.sign(payload, privateKey, { algorithm: 'ES256', keyid: id });
    assert.notEqual(await tokens.verify(sign(claims())), undefined);
    const wrong: Record<string, unknown[]> = {
      iss: ['other', undefined],
      aud: ['other', ['entrepot', 'other'], undefined],
      sub: [''],
      via: ['', null, true, 7],
      exp: [NOW / 1000 - 31, undefined],
      nbf: [NOW / 1000 + 60, undefined],
      jti: [undefined],
      access: [
        undefined,
        'all',
        [{ type: 'repository', name: 'team/app', actions: ['pull', 'admin'] }],
        [{ type: 'repository', name: '../app', actions: ['pull'] }],
        [{ type: 'repository', name: 'app', actions: 'pull' }],
        [{ type: 'repository', name: 'app', actions: ['pull'], generation: 'x' }],
        [{ type: 'registry', name: 'everything', actions: ['*'] }],
        [{ type: 'registry', name: 'catalog', actions: [] }],
        [null],
      ],
    };
    let seen = 0;
    for (const [claim, values] of Object.entries(wrong)) {
      for (const value of values) {
        const { [claim]: _, ...rest } = claims() as Record<string, unknown>;
        const payload = value === undefined ? rest : { ...rest, [claim]: value };
        assert.equal(await tokens.verify(sign(payload)), undefined, `${claim}: ${JSON.stringify(value)}`);
        seen += 1;
      }
    }
    assert.ok(seen > 15);
  });

  it('is refused however else it was signed', async () => {
    const { keys, tokens } = setUp();
    const { privateKey, publicKey, id } = keys.signer;
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    const good = jwt.sign(claims(), privateKey, { algorithm: 'ES256', keyid: id });
    const [header = '', payload = '', signature = ''] = good.split('.');
    const withHeader = (more: object, key: KeyObject = privateKey) =>
      jwt.sign(claims(), key, { algorithm: 'ES256', keyid: id, header: { alg: 'ES256', ...more } });
    const hmac = (secret: string | Buffer) => {
      const text = `${base64({ alg: 'HS256', typ: 'JWT', kid: id })}.${payload}`;
      return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
    };
    const forged: Record<string, string> = {
      'by another key': jwt.sign(claims(), other.privateKey, { algorithm: 'ES256', keyid: id }),
      'by a key it brings along': withHeader({ jwk: other.publicKey.export({ format: 'jwk' }) }, other.privateKey),
      'with a key it brings along, by ours': withHeader({ jwk: publicKey.export({ format: 'jwk' }) }),
      'with an address of keys': withHeader({ jku: 'https://example.com/jwks.json' }),
      'with a certificate': withHeader({ x5c: ['AAAA'] }),
      'with a critical extension': withHeader({ crit: ['b64'], b64: true }),
      'with an unknown key id': jwt.sign(claims(), privateKey, { algorithm: 'ES256', keyid: 'unknown' }),
      'without a key id': jwt.sign(claims(), privateKey, { algorithm: 'ES256' }),
      'by another curve': jwt.sign(claims(), p384.privateKey, { algorithm: 'ES384', keyid: id }),
      'by nobody': `${base64({ alg: 'none', typ: 'JWT', kid: id })}.${payload}.`,
      'with the public key as a secret': hmac(publicKey.export({ type: 'spki', format: 'pem' })),
      'without a signature': `${header}.${payload}.`,
      'with other claims': `${header}.${base64(claims({ sub: 'root' }))}.${signature}`,
      'cut off': good.slice(0, -4),
      'too long': `${good}${'A'.repeat(20_000)}`,
      'no token at all': 'abc',
      empty: '',
    };
    for (const [how, text] of Object.entries(forged)) assert.equal(await tokens.verify(text), undefined, how);
    assert.notEqual(await tokens.verify(good), undefined);
  });
});

describe('the keys of a store', () => {
  it('are made once, are readable by their owner only, and rotate with an overlap', async () => {
    await using directory = await temporaryDirectory();
    await mkdir(path.join(directory.path, '.meta'));
    let now = NOW;
    const keys = new KeyFile(directory.path, () => now);
    keys.ensure();
    const first = keys.signer.id;
    const file = path.join(directory.path, '.meta', 'keys.json');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const beside = new KeyFile(directory.path, () => now);
    beside.ensure();
    assert.equal(beside.signer.id, first);

    now += 1_000_000;
    const second = keys.rotate();
    assert.equal(keys.signer.id, first, 'others have to see the new one first');
    beside.reload();
    assert.notEqual(beside.find(second), undefined);
    now += NEW_KEY_WAITS_MS;
    assert.equal(keys.signer.id, second);
    assert.notEqual(keys.find(first), undefined, 'its tokens are valid still');
    assert.deepEqual((await stat(file)).mode & 0o777, 0o600);

    now += OVERLAP_MS;
    const third = keys.rotate();
    assert.deepEqual(
      keys.keys.map(({ id }) => id),
      [second, third],
    );
  });

  it('that cannot be read are an error that says what to do, and the ones before stay', async () => {
    await using directory = await temporaryDirectory();
    await mkdir(path.join(directory.path, '.meta'));
    const keys = new KeyFile(directory.path);
    keys.ensure();
    const { id } = keys.signer;
    const file = path.join(directory.path, '.meta', 'keys.json');
    const before = await readFile(file, 'utf8');
    for (const text of ['', '{}', '{"keys":[{"createdAt":1,"privateKey":"x"}]}']) {
      await writeFile(file, text);
      assert.throws(() => keys.reload(), { name: 'KeysUnusable', message: /keys\.json cannot be read: restore it/ });
      assert.equal(keys.signer.id, id);
    }
    await writeFile(file, before);
    keys.reload();
    assert.equal(keys.signer.id, id);
  });

  it('are published without their private halves', () => {
    const keys = createFleetingKeys(NOW);
    const [published] = jwksOf(keys.keys).keys as [Record<string, unknown>];
    assert.deepEqual(Object.keys(published).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    assert.equal(published['kid'], keys.signer.id);
  });
});

const read = (...parameters: string[]) =>
  parseScopes(parameters).map((scope) => {
    return scope.type === 'repository' ? `${scope.name} ${scope.actions.join('+')}` : `registry ${scope.name}`;
  });

describe('scopes', () => {
  it('come several in a parameter and in several parameters', () => {
    assert.deepEqual(read('repository:a/b:pull,push repository:c:pull', 'registry:catalog:*'), [
      'a/b pull+push',
      'c pull',
      'registry catalog',
    ]);
    assert.deepEqual(read('repository:a:*', 'repository:a:delete,pull', 'repository(plugin):a:pull'), [
      'a pull+push+delete',
      'a pull+delete',
      'a pull',
    ]);
    assert.deepEqual(read('registry:catalog:search', 'registry:admin:*'), ['registry catalog', 'registry admin']);
  });

  it('that are unknown or malformed grant nothing', () => {
    const none = ['', ' ', 'repository', 'repository:a', 'repository:A:pull', 'repository:../a:pull', 'other:a:pull'];
    assert.deepEqual(read(...none, 'repository:a:', 'repository:a:read', 'registry:all:*', ':::'), []);
    assert.equal(parseScopes([Array(200).fill('repository:a:pull').join(' ')]).length, 30);
  });
});
