import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';

/** The files cannot be served with. The message names the file and says what to do; it holds nothing secret. */
export class TlsError extends Error {
  override readonly name = 'TlsError';
}

/** @throws TlsError */
export async function readTlsFile(file: string, what: 'certificate' | 'key' | 'client authorities'): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new TlsError(`cannot read the TLS ${what} ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a directory',
};

/** What happened, for a sentence. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return REASONS[code] ?? error.message;
}

/** The first certificate of a file. */
export function parseCertificate(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new TlsError(`${file} holds no certificate: expected PEM, -----BEGIN CERTIFICATE-----`, { cause: error });
  }
}

/** The certificates of a PEM file, one by one, in their order. */
export function certificateBlocks(pem: string): readonly string[] {
  return pem.match(BLOCK) ?? [];
}

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
