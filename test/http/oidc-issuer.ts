import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import jwt, { type Algorithm } from 'jsonwebtoken';

/** An OpenID Connect issuer, as far as a registry sees one: discovery, keys, and tokens of whatever is asked for. */
export interface Issuer extends AsyncDisposable {
  readonly url: string;
  /** How often its keys were fetched. */
  readonly fetched: { count: number };
  /** What its endpoints answer with; undefined for what they should. */
  readonly broken: {
    answer?: { readonly status: number; readonly body: string; readonly headers?: Record<string, string> };
  };
  /** Another key from now on; the one before is published no more. */
  rotate(): void;
  sign(claims: object, options?: SignOptions): string;
}

export interface SignOptions {
  readonly key?: KeyObject;
  /** Null: none. */
  readonly kid?: string | null;
  readonly algorithm?: Algorithm;
  readonly header?: object;
}

export async function startIssuer(kind: 'rsa' | 'ec' = 'rsa'): Promise<Issuer> {
  let serial = 0;
  let pair = keyPair(kind);
  const fetched = { count: 0 };
  const broken: Issuer['broken'] = {};
  const kid = () => `key-${serial}`;
  const server = createServer((request, response) => {
    const send = (status: number, body: string, headers = {}) => response.writeHead(status, headers).end(body);
    if (request.url === '/keys') fetched.count += 1;
    if (broken.answer !== undefined) return send(broken.answer.status, broken.answer.body, broken.answer.headers);
    if (request.url === '/.well-known/openid-configuration') {
      return send(200, JSON.stringify({ issuer: url, jwks_uri: `${url}/keys` }));
    }
    if (request.url !== '/keys') return send(404, '');
    const key = { ...pair.publicKey.export({ format: 'jwk' }), kid: kid(), use: 'sig' };
    const ignored = [{ kty: 'oct', k: 'AAAA', kid: 'secret' }, { kty: 'RSA', use: 'enc', kid: 'other' }, null, 'x'];
    return send(200, JSON.stringify({ keys: [...ignored, key] }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    fetched,
    broken,
    rotate: () => {
      serial += 1;
      pair = keyPair(kind);
    },
    sign: (claims, options = {}) => {
      const { key = pair.privateKey, algorithm = kind === 'rsa' ? 'RS256' : 'ES256', header = {} } = options;
      const keyid = options.kid === null ? {} : { keyid: options.kid ?? kid() };
      return jwt.sign(JSON.parse(JSON.stringify(claims)) as object, key, {
        ...keyid,
        algorithm,
        noTimestamp: true,
        header: { alg: algorithm, ...header },
      });
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

export function keyPair(kind: 'rsa' | 'ec') {
  if (kind === 'ec') return generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return generateKeyPairSync('rsa', { modulusLength: 2048 });
}

/** Times of a token that is valid now, in seconds. */
export function validNow(): { iat: number; nbf: number; exp: number } {
  const seconds = Math.floor(Date.now() / 1000);
  return { iat: seconds, nbf: seconds, exp: seconds + 300 };
}

/** As GitHub Actions makes them. */
export function githubClaims(issuer: string, more: object = {}): object {
  return {
    jti: 'example-id',
    sub: 'repo:acme/app:ref:refs/heads/main',
    aud: 'registry.example.com',
    iss: issuer,
    ref: 'refs/heads/main',
    sha: 'abc',
    repository: 'acme/app',
    repository_owner: 'acme',
    run_id: '42',
    actor: 'octocat',
    workflow: 'build',
    event_name: 'push',
    ref_type: 'branch',
    job_workflow_ref: 'acme/app/.github/workflows/build.yml@refs/heads/main',
    ...validNow(),
    ...more,
  };
}

/** As Kubernetes makes them for a service account. */
export function kubernetesClaims(issuer: string, more: object = {}): object {
  return {
    aud: ['registry.example.com', 'other'],
    iss: issuer,
    jti: 'b7f0',
    'kubernetes.io': {
      namespace: 'build',
      pod: { name: 'kaniko-x', uid: '1' },
      serviceaccount: { name: 'kaniko', uid: '2' },
    },
    sub: 'system:serviceaccount:build:kaniko',
    ...validNow(),
    ...more,
  };
}

export function bearerOf(token: string): { Authorization: string } {
  assert.ok(token !== '');
  return { Authorization: `Bearer ${token}` };
}
