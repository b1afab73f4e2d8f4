import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { JwksError, parseJwks } from '../../server/auth/jwks.ts';
import { discoverJwksUrl, RemoteKeys } from '../../server/auth/remote-keys.ts';
import { isSafe } from '../../server/auth/fetch-text.ts';
import { keyPair } from '../http/oidc-issuer.ts';

const MINUTE = 60_000;

function jwks(...ids: string[]): string {
  return JSON.stringify({ keys: ids.map((kid) => ({ ...keyPair('ec').publicKey.export({ format: 'jwk' }), kid })) });
}

function setUp() {
  const state = { now: 1e12, text: jwks('one'), fails: false, fetched: 0, faults: [] as string[] };
  const keys = new RemoteKeys({
    url: async () => 'https://issuer.example.com/keys',
    onFault: (error) => state.faults.push(String(error)),
    now: () => state.now,
    fetchText: async () => {
      state.fetched += 1;
      if (state.fails) throw new Error('no way there');
      return state.text;
    },
  });
  const has = async (id: string | undefined) => (await keys.find(id, 'ES256')) !== undefined;
  return { state, has, keys };
}

describe('keys that an issuer publishes', () => {
  it('are fetched once for all who come at the same time', async () => {
    const { state, has } = setUp();
    assert.deepEqual(await Promise.all([has('one'), has('one'), has(undefined)]), [true, true, true]);
    assert.equal(state.fetched, 1);
    state.now += 9 * MINUTE;
    assert.equal(await has('one'), true);
    assert.equal(state.fetched, 1);
  });

  it('are fetched again after ten minutes, while nobody waits', async () => {
    const { state, has } = setUp();
    await has('one');
    state.now += 11 * MINUTE;
    state.text = jwks('two');
    assert.equal(await has('one'), true, 'as it was');
    assert.equal(state.fetched, 2);
    assert.deepEqual([await has('two'), await has('one')], [true, false]);
  });

  it('are fetched for a name that is not among them, at most every ten seconds', async () => {
    const { state, has } = setUp();
    await has('one');
    state.now += 11_000;
    state.text = jwks('one', 'two');
    assert.equal(await has('two'), true);
    for (let i = 0; i < 50; i++) assert.equal(await has(`invented ${i}`), false);
    assert.equal(state.fetched, 2);
    assert.equal(await has(undefined), false, 'two could be meant');
  });

  it('stay for a day when the issuer is away, and no longer', async () => {
    const { state, has } = setUp();
    await has('one');
    state.fails = true;
    for (let i = 0; i < 23; i++) {
      state.now += 60 * MINUTE;
      assert.equal(await has('one'), true);
    }
    assert.deepEqual(state.faults, ['Error: no way there'], 'said once');
    state.now += 61 * MINUTE;
    await assert.rejects(has('one'), /no way there/);
    await assert.rejects(has('one'), /no way there/);
    state.fails = false;
    state.now += 11_000;
    assert.equal(await has('one'), true);
  });

  it('that nobody asked for in an hour are fetched before one of them is believed', async () => {
    const { state, has } = setUp();
    await has('one');
    state.now += 61 * MINUTE;
    state.text = jwks('two');
    assert.equal(await has('one'), false);
    assert.equal(await has('two'), true);
    state.now -= 30 * MINUTE;
    state.text = jwks('three');
    assert.equal(await has('three'), true, 'a clock that was set back');
  });

  it('are only for the algorithm that they are for', async () => {
    const { state, keys } = setUp();
    const key = { ...keyPair('rsa').publicKey.export({ format: 'jwk' }), kid: 'rsa', alg: 'RS256' };
    state.text = JSON.stringify({ keys: [key] });
    assert.notEqual(await keys.find('rsa', 'RS256'), undefined);
    assert.equal(await keys.find('rsa', 'PS256'), undefined);
  });
});

it('a set of keys that is none is refused with what is wrong', () => {
  const many = JSON.stringify({ keys: Array.from({ length: 101 }, () => ({})) });
  const wrong: [string, RegExp][] = [
    ['', /no JSON/],
    ['[]', /no JWK Set/],
    ['{"keys":1}', /no JWK Set/],
    ['{"keys":[]}', /holds no RSA or EC key/],
    ['{"keys":[{"kty":{"toString":1}},{"kty":["RSA"]}]}', /holds no RSA or EC key/],
    [
      '{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"EC","crv":"P-256","x":"AA","y":"AA"},{"kty":"RSA","use":"enc"}]}',
      /holds no/,
    ],
    [many, /more than 100 keys/],
  ];
  for (const [text, message] of wrong) {
    assert.throws(
      () => parseJwks(text),
      (error: Error) => error instanceof JwksError && message.test(error.message),
      text,
    );
  }
});

const get = async (url: string) => {
  assert.equal(url, 'https://issuer.example.com/path/.well-known/openid-configuration');
  return JSON.stringify({ issuer: 'https://issuer.example.com/path/', jwks_uri: 'https://keys.example.com/' });
};

async function inwards(): Promise<string> {
  return JSON.stringify({ issuer: 'https://a', jwks_uri: 'http://127.0.0.1:9200/keys' });
}

it('keys come over https, or from this machine', async () => {
  for (const url of ['https://a.example.com/x', 'http://127.0.0.1:1/', 'http://localhost/', 'http://[::1]/']) {
    assert.equal(isSafe(url), true, url);
  }
  for (const url of [
    'http://a.example.com/',
    'http://127.0.0.1.example.com/',
    'ftp://127.0.0.1/',
    'file:///etc/passwd',
    'x',
  ]) {
    assert.equal(isSafe(url), false, url);
  }
  assert.equal(await discoverJwksUrl('https://issuer.example.com/path/', get), 'https://keys.example.com/');
  await assert.rejects(discoverJwksUrl('https://issuer.example.com/path', get), /another issuer/);
  await assert.rejects(discoverJwksUrl('https://a', inwards), /names no keys under https/);
});
