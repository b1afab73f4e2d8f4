import type { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Watched } from '../watched.ts';
import { parseCertificates } from './certificate-bundle.ts';
import { fileIdentity } from './file-identity.ts';
import { findKey, parseJwks, type IssuerKey } from './jwks.ts';
import { idsOfCertificate } from './key-ids.ts';
import type { KeySource } from './key-source.ts';

/** A file with the keys of an issuer cannot be used; the message names it and the key of the configuration. */
export class IssuerKeysError extends Error {
  override readonly name = 'IssuerKeysError';
}

export interface FileKeysOptions {
  readonly file: string;
  /** The key of the configuration, for messages. */
  readonly setting: string;
  readonly kind: 'jwks' | 'certificates';
  readonly onFault: (error: unknown) => void;
}

/**
 * The keys of an issuer from a file: a JWK Set, or certificates in PEM as for Distribution's `rootcertbundle`. Read again
 * when it changes.
 *
 * @throws IssuerKeysError
 */
export async function openFileKeys({ file, setting, kind, onFault }: FileKeysOptions): Promise<KeySource> {
  const readable = async <T>(read: () => Promise<T>): Promise<T> => {
    try {
      return await read();
    } catch (error) {
      throw new IssuerKeysError(`${setting}: ${file} cannot be used: ${(error as Error).message}`, { cause: error });
    }
  };
  const parse = kind === 'jwks' ? parseJwks : keysOfCertificates;
  const watched = await Watched.open<readonly IssuerKey[]>({
    identity: () => readable(() => fileIdentity(file)),
    load: () => readable(async () => parse(await readFile(file, 'utf8'))),
    onFault,
  });
  return {
    find: async (id, algorithm) => findKey(watched.value, id, algorithm),
    close: () => watched.close(),
  };
}

function keysOfCertificates(pem: string): readonly IssuerKey[] {
  return parseCertificates(pem).map((certificate: X509Certificate) => ({
    ids: idsOfCertificate(certificate),
    algorithm: undefined,
    key: certificate.publicKey,
  }));
}
