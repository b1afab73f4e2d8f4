import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { thumbprintOf } from './key-ids.ts';

/** A key that signs tokens: ES256, the curve P-256 (RFC 7518 section 3.4). */
export interface SigningKey {
  /** The thumbprint of its public half (RFC 7638). */
  readonly id: string;
  readonly createdAt: number;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** The keys of a registry. */
export interface Keys {
  /** What signs now. */
  readonly signer: SigningKey;
  /** All whose tokens are accepted. */
  readonly keys: readonly SigningKey[];
  find(id: string): SigningKey | undefined;
  /** Looks for what other processes have changed. */
  reload(): void | Promise<void>;
}

/** For a registry that ends with the process. */
export function createFleetingKeys(now: number): Keys {
  const signer = signingKeyOf(createSigningKey(now));
  return { signer, keys: [signer], find: (id) => (id === signer.id ? signer : undefined), reload: () => {} };
}

/** As it is kept: the private half as PKCS #8 in PEM. */
export interface StoredKey {
  readonly createdAt: number;
  readonly privateKey: string;
}

export function createSigningKey(now: number): StoredKey {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { createdAt: now, privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
}

/** @throws Error when it is no key of that kind */
export function signingKeyOf({ createdAt, privateKey: pem }: StoredKey): SigningKey {
  const privateKey = createPrivateKey(pem);
  if (privateKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('not a key of the curve P-256');
  const publicKey = createPublicKey(privateKey);
  return { id: thumbprintOf(publicKey), createdAt, privateKey, publicKey };
}

/** The public halves, for whoever checks our tokens (RFC 7517 section 5). */
export function jwksOf(keys: readonly SigningKey[]): { readonly keys: readonly object[] } {
  return {
    keys: keys.map(({ id, publicKey }) => ({
      ...publicKey.export({ format: 'jwk' }),
      kid: id,
      alg: 'ES256',
      use: 'sig',
    })),
  };
}
