import { readFile, stat } from 'node:fs/promises';
import { HtpasswdError, parseHtpasswd, type Accounts } from './htpasswd.ts';

export interface HtpasswdFileOptions {
  readonly file: string;
  /** Told why a changed file cannot be used, once for each reason; the accounts before it stay. */
  readonly onFault: (error: unknown) => void;
  readonly onChange?: (accounts: Accounts) => void;
  readonly intervalMs?: number;
}

/** An htpasswd file that is read again when it changes. */
export interface HtpasswdFile {
  /** As they are now. */
  readonly accounts: Accounts;
  /** Looks now, as the timer does. */
  check(): Promise<void>;
  close(): void;
}

const DEFAULT_INTERVAL_MS = 1000;

/**
 * Opens the file.
 *
 * Looked at every second: editors, `htpasswd` and Kubernetes replace it in ways that fs.watch does not see.
 *
 * @throws HtpasswdError
 */
export async function openHtpasswdFile(options: HtpasswdFileOptions): Promise<HtpasswdFile> {
  return new WatchedFile(options, await load(options.file));
}

interface Loaded {
  readonly accounts: Accounts;
  readonly identity: string;
}

class WatchedFile implements HtpasswdFile {
  readonly #options: HtpasswdFileOptions;
  readonly #timer: NodeJS.Timeout;
  #loaded: Loaded;
  #lastFault: string | undefined;
  #running: Promise<void> | undefined;

  constructor(options: HtpasswdFileOptions, loaded: Loaded) {
    this.#options = options;
    this.#loaded = loaded;
    this.#timer = setInterval(() => void this.check(), options.intervalMs ?? DEFAULT_INTERVAL_MS).unref();
  }

  get accounts(): Accounts {
    return this.#loaded.accounts;
  }

  check(): Promise<void> {
    this.#running ??= this.#look().finally(() => (this.#running = undefined));
    return this.#running;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { file, onChange, onFault } = this.#options;
    try {
      if ((await identityOf(file)) === this.#loaded.identity) return;
      this.#loaded = await load(file);
      this.#lastFault = undefined;
      onChange?.(this.#loaded.accounts);
    } catch (error) {
      const fault = String(error);
      if (fault !== this.#lastFault) onFault(error);
      this.#lastFault = fault;
    }
  }
}

async function load(file: string): Promise<Loaded> {
  try {
    // Before the content: what changes while it is read is read again.
    const identity = await identityOf(file);
    return { accounts: parseHtpasswd(await readFile(file, 'utf8'), file), identity };
  } catch (error) {
    if (error instanceof HtpasswdError || !(error instanceof Error)) throw error;
    const code = 'code' in error ? String(error.code) : error.message;
    throw new HtpasswdError(`${file} cannot be read (${code}): access.htpasswd names a file that this user may read`);
  }
}

async function identityOf(file: string): Promise<string> {
  const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
  return [ino, size, mtimeNs, ctimeNs].join(':');
}
