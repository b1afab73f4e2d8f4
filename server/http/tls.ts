import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { stat, readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';

/** Both PEM. */
export interface TlsFiles {
  /** The server's certificate first, then the intermediate ones in their order. */
  readonly certificate: string;
  /** Not encrypted: there is nobody to ask for a passphrase. */
  readonly key: string;
}

export interface LoadedTls {
  /** For `https.createServer` and `server.setSecureContext`. TLS 1.2 and newer. */
  readonly context: SecureContextOptions;
  /** What works but will not please clients: sentences for the log. */
  readonly warnings: readonly string[];
  readonly validTo: Date;
  /** Says which state of the files was read; compare it, and nothing else. */
  readonly identity: string;
}

/** The files cannot be served with. The message names the file and says what to do; it holds nothing secret. */
export class TlsError extends Error {
  override readonly name = 'TlsError';
}

/**
 * Reads a certificate chain with its key and checks that a server can use them.
 *
 * @param now for the validity period; a certificate outside of it is a warning, because pulls by clients that do not
 *   check are better than no pulls
 * @throws TlsError for a file that is missing, unreadable or not PEM, and for a key of another certificate
 */
export async function loadTls(files: TlsFiles, now = new Date()): Promise<LoadedTls> {
  // Before reading: what changes while it is read is then seen as a change by `watchTls`.
  const identity = await identityOf(files);
  const [certificatePem, keyPem] = await Promise.all([read(files.certificate, 'certificate'), read(files.key, 'key')]);
  const certificate = parseCertificate(certificatePem, files.certificate);
  const key = parseKey(keyPem, files.key);
  if (!certificate.checkPrivateKey(key)) {
    throw new TlsError(
      `the key in ${files.key} is not that of the first certificate in ${files.certificate}: ` +
        'put the server’s own certificate first and check that both files are of the same renewal',
    );
  }
  const context: SecureContextOptions = { cert: certificatePem, key: keyPem, minVersion: 'TLSv1.2' };
  checkChain(context, files.certificate);
  const warnings = validityWarnings(certificate, files.certificate, now);
  return { context, warnings, validTo: certificate.validToDate, identity };
}

async function read(file: string, what: 'certificate' | 'key'): Promise<string> {
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

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error ? String(error.code) : '';
  return REASONS[code] ?? error.message;
}

function parseCertificate(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new TlsError(`${file} holds no certificate: expected PEM, -----BEGIN CERTIFICATE-----`, { cause: error });
  }
}

function parseKey(pem: string, file: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    const isEncrypted = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(pem);
    const reason = isEncrypted
      ? 'is encrypted: take the passphrase off, with openssl pkey -in FILE -out FILE, and protect it by its mode'
      : 'holds no private key: expected PEM, -----BEGIN PRIVATE KEY-----';
    throw new TlsError(`the key ${file} ${reason}`, { cause: error });
  }
}

// Reads the whole file as the server will: the parsers above look at the first block only.
function checkChain(context: SecureContextOptions, file: string): void {
  try {
    createSecureContext(context);
  } catch (error) {
    throw new TlsError(`the certificates in ${file} cannot be used: ${reasonOf(error)}`, { cause: error });
  }
}

function validityWarnings(certificate: X509Certificate, file: string, now: Date): string[] {
  const { validFromDate, validToDate } = certificate;
  if (now > validToDate) return [`the certificate ${file} expired at ${validToDate.toISOString()}: renew it`];
  if (now < validFromDate) {
    return [`the certificate ${file} is not valid before ${validFromDate.toISOString()}: check the clock`];
  }
  return [];
}

export interface WatchTlsOptions {
  readonly files: TlsFiles;
  /** The pair in use. */
  readonly loaded: LoadedTls;
  /** Gets every new pair that can be used. */
  readonly onChange: (loaded: LoadedTls) => void;
  /** Told why a new pair cannot be used, once for each reason; the old one stays in use. */
  readonly onFault: (error: TlsError) => void;
  readonly intervalMs?: number;
}

export interface TlsWatch {
  /** Looks now, as the timer does; `onChange` or `onFault` have been called when it resolves. */
  check(): Promise<void>;
  close(): void;
}

const DEFAULT_INTERVAL_MS = 5000;

/**
 * Watches the files of a pair in use and reads them again when they change.
 *
 * By asking every few seconds: certbot and Kubernetes swap symbolic links and directories, which fs.watch on the file
 * does not see. A pair that does not fit, as between the writing of the one file and of the other, is tried again
 * until it does. Does not keep the process alive.
 */
export function watchTls(options: WatchTlsOptions): TlsWatch {
  const watch = new PollingWatch(options);
  const timer = setInterval(() => void watch.check(), options.intervalMs ?? DEFAULT_INTERVAL_MS).unref();
  return { check: () => watch.check(), close: () => clearInterval(timer) };
}

class PollingWatch {
  readonly #options: WatchTlsOptions;
  /** Of the pair in use. */
  #identity: string;
  #lastFault: string | undefined;
  #running: Promise<void> | undefined;

  constructor(options: WatchTlsOptions) {
    this.#options = options;
    this.#identity = options.loaded.identity;
  }

  check(): Promise<void> {
    this.#running ??= this.#look().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #look(): Promise<void> {
    const { files, onChange } = this.#options;
    if ((await identityOf(files)) === this.#identity) {
      this.#lastFault = undefined;
      return;
    }
    try {
      const loaded = await loadTls(files);
      onChange(loaded);
      this.#identity = loaded.identity;
      this.#lastFault = undefined;
    } catch (error) {
      this.#fail(error instanceof TlsError ? error : new TlsError(reasonOf(error), { cause: error }));
    }
  }

  #fail(error: TlsError): void {
    if (error.message === this.#lastFault) return;
    this.#lastFault = error.message;
    this.#options.onFault(error);
  }
}

/** Changes when either file is replaced, rewritten or reached through another link. */
async function identityOf(files: TlsFiles): Promise<string> {
  const parts = await Promise.all([files.certificate, files.key].map(fileIdentity));
  return parts.join(' ');
}

async function fileIdentity(file: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(':');
  } catch (error) {
    return reasonOf(error);
  }
}
