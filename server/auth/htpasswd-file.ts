import { readFile } from 'node:fs/promises';
import { Watched } from '../watched.ts';
import { fileIdentity } from './file-identity.ts';
import { HtpasswdError, parseHtpasswd, type Accounts } from './htpasswd.ts';

export interface HtpasswdFileOptions {
  readonly file: string;
  /** Told why a changed file cannot be used, once for each reason; the accounts before it stay. */
  readonly onFault: (error: unknown) => void;
  readonly onChange?: (accounts: Accounts) => void;
  readonly intervalMs?: number;
}

/**
 * Opens an htpasswd file, which is read again when it changes.
 *
 * @throws HtpasswdError
 */
export async function openHtpasswdFile({ file, ...options }: HtpasswdFileOptions): Promise<Watched<Accounts>> {
  const identity = () => readable(file, () => fileIdentity(file));
  const load = () => readable(file, async () => parseHtpasswd(await readFile(file, 'utf8'), file));
  return Watched.open({ ...options, identity, load });
}

async function readable<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof HtpasswdError || !(error instanceof Error)) throw error;
    const code = 'code' in error ? String(error.code) : error.message;
    throw new HtpasswdError(`${file} cannot be read (${code}): access.htpasswd names a file that this user may read`);
  }
}
