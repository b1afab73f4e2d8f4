import { execFile, spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** For node:test's `skip`. */
export const NO_OPENSSL =
  spawnSync('openssl', ['version']).status === 0 ? false : 'there is no openssl to make certificates with';

/** Paths of PEM files. */
export interface Certified {
  readonly certificate: string;
  readonly key: string;
}

export interface CertifiedOptions {
  /** Itself unless given. */
  readonly issuer?: Certified | undefined;
  /** As openssl writes it, `/CN=NAME` unless given. */
  readonly subject?: string;
  /** Lines of openssl's configuration. */
  readonly extensions?: readonly string[];
  /** Lines of its section of subject alternative names, such as `email.1 = alice@example.com`. */
  readonly names?: readonly string[];
  readonly days?: number;
}

export const AUTHORITY = ['basicConstraints = critical, CA:TRUE'];

/** Makes `NAME.pem` and `NAME.key` in a directory; fewer than 0 days for one that has expired. */
export async function certify(directory: string, name: string, options: CertifiedOptions = {}): Promise<Certified> {
  const {
    issuer,
    subject = `/CN=${name}`,
    extensions = ['basicConstraints = CA:FALSE'],
    names = [],
    days = 9,
  } = options;
  const file = (extension: string) => path.join(directory, `${name}.${extension}`);
  const made = { certificate: file('pem'), key: file('key') };
  const alternatives = names.length === 0 ? [] : ['subjectAltName = @names'];
  const lines = ['[req]', 'distinguished_name = none', '[none]', '[extensions]', ...extensions, ...alternatives];
  await writeFile(file('cnf'), [...lines, '[names]', ...names, ''].join('\n'));
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-utf8', '-multivalue-rdn'];
  const asked = ['-config', file('cnf'), '-subj', subject, '-keyout', made.key, '-out', file('csr')];
  await run('openssl', ['req', '-new', '-batch', ...curve, ...asked]);
  const signer = issuer === undefined ? ['-signkey', made.key] : ['-CA', issuer.certificate, '-CAkey', issuer.key];
  const signed = [
    '-days',
    String(days),
    '-extfile',
    file('cnf'),
    '-extensions',
    'extensions',
    '-out',
    made.certificate,
  ];
  await run('openssl', ['x509', '-req', '-in', file('csr'), ...signer, ...signed]);
  return made;
}

/** What a client or a server takes of it: the certificate with those of `issuers` behind it, and the key. */
export async function pairOf({ certificate, key }: Certified, ...issuers: readonly Certified[]) {
  const files = [certificate, ...issuers.map((issuer) => issuer.certificate)];
  const pems = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  return { cert: pems.join('\n'), key: await readFile(key, 'utf8') };
}
