import { openFileKeys } from './file-keys.ts';
import type { KeySource } from './key-source.ts';
import { discoverJwksUrl, RemoteKeys } from './remote-keys.ts';

export interface KeySourceOptions {
  readonly issuer: string;
  /** A file or an address; undefined: where the issuer says. */
  readonly jwks: string | undefined;
  /** The key of the configuration, for messages. */
  readonly setting: string;
  readonly onFault: (error: unknown) => void;
  readonly now: () => number;
}

/** @throws IssuerKeysError when a file cannot be used; an address is asked when the first token comes */
export async function openKeySource({ issuer, jwks, ...options }: KeySourceOptions): Promise<KeySource> {
  if (jwks === undefined) return new RemoteKeys({ ...options, url: () => discoverJwksUrl(issuer) });
  if (/^https?:\/\//.test(jwks)) return new RemoteKeys({ ...options, url: async () => jwks });
  return openFileKeys({ ...options, file: jwks, kind: 'jwks' });
}
