import { constants, createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { authorityWarnings, readClientAuthorities } from './client-authorities.ts';
import { parseCertificate, readTlsFile, reasonOf, TlsError } from './tls-file.ts';

/** All PEM. */
export interface TlsFiles {
  /** The server's certificate first, then the intermediate ones in their order. */
  readonly certificate: string;
  /** Not encrypted: there is nobody to ask for a passphrase. */
  readonly key: string;
  /** Whose client certificates are believed; absent: clients are asked for none. */
  readonly clientAuthorities?: string | undefined;
}

export interface LoadedTls {
  /** For `https.createServer` and `server.setSecureContext`. TLS 1.2 and newer. */
  readonly context: SecureContextOptions;
  /** What works but will not please clients: sentences for the log. */
  readonly warnings: readonly string[];
  readonly validTo: Date;
  /** Fingerprints of those whose client certificates are believed. */
  readonly authorities: readonly string[];
  /** Says which state of the files was read; compare it, and nothing else. */
  readonly identity: string;
}

/**
 * Reads a certificate chain with its key and checks that a server can use them.
 *
 * @param now for the validity period; a certificate outside of it is a warning, because pulls by clients that do not
 *   check are better than no pulls
 * @throws TlsError for a file that is missing, unreadable or not PEM, for a key of another certificate, and for client
 *   authorities that are none
 */
export async function loadTls(files: TlsFiles, now = new Date()): Promise<LoadedTls> {
  // Before reading: what changes while it is read is then seen as a change by `watchTls`.
  const identity = await identityOf(files);
  const [certificatePem, keyPem] = await Promise.all([
    readTlsFile(files.certificate, 'certificate'),
    readTlsFile(files.key, 'key'),
  ]);
  const certificate = parseCertificate(certificatePem, files.certificate);
  const key = parseKey(keyPem, files.key);
  if (!certificate.checkPrivateKey(key)) {
    throw new TlsError(
      `the key in ${files.key} is not that of the first certificate in ${files.certificate}: ` +
        'put the server’s own certificate first and check that both files are of the same renewal',
    );
  }
  const clients = await loadClients(files.clientAuthorities, now);
  const context: SecureContextOptions = {
    cert: certificatePem,
    key: keyPem,
    minVersion: 'TLSv1.2',
    ...clients.context,
  };
  checkChain(context, files.certificate);
  const warnings = [...validityWarnings(certificate, files.certificate, now), ...clients.warnings];
  return { context, warnings, validTo: certificate.validToDate, authorities: clients.authorities, identity };
}

// A ticket would carry a certificate past its end, and past the authority that is taken away; a renegotiation would put
// another one in the place of that which was looked at. Clients of registries do without both.
const ONE_HANDSHAKE = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION;

async function loadClients(file: string | undefined, now: Date) {
  if (file === undefined) return { context: {}, warnings: [], authorities: [] };
  const authorities = await readClientAuthorities(file);
  return {
    // Each by itself: whatever else the file holds is not for OpenSSL to find.
    context: { ca: authorities.map(String), secureOptions: ONE_HANDSHAKE },
    warnings: authorityWarnings(authorities, file, now),
    authorities: authorities.map(({ fingerprint256 }) => fingerprint256),
  };
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

/** Changes when a file is replaced, rewritten or reached through another link. */
async function identityOf({ certificate, key, clientAuthorities }: TlsFiles): Promise<string> {
  const files = [certificate, key, ...(clientAuthorities === undefined ? [] : [clientAuthorities])];
  const parts = await Promise.all(files.map(fileIdentity));
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
