import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from './command.ts';
import { tool } from './tools.ts';

/** Files of PEM. */
export interface Certificate {
  /** The authority, which signed the certificate and which nobody trusts by himself. */
  readonly authority: string;
  /** The directory that holds the authority as `ca.crt` and nothing else, as `--cert-dir` wants it. */
  readonly authorityDirectory: string;
  readonly certificate: string;
  readonly key: string;
}

/** Makes an authority, and with it a certificate for 127.0.0.1, in `directory`. */
export async function makeCertificate(directory: string): Promise<Certificate> {
  const file = (name: string) => path.join(directory, name);
  const authorityDirectory = file('trusted');
  await mkdir(authorityDirectory);
  const [authority, certificate, key] = [path.join(authorityDirectory, 'ca.crt'), file('server.pem'), file('key.pem')];
  const request = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const openssl = (...args: readonly string[]) => run(tool('openssl'), ['req', '-x509', ...request, ...args]);
  await writeFile(file('authority.cnf'), configOf('Test authority', 'basicConstraints = critical, CA:TRUE'));
  await openssl('-config', file('authority.cnf'), '-keyout', file('authority-key.pem'), '-out', authority);
  await writeFile(file('server.cnf'), configOf('Test registry', 'subjectAltName = IP:127.0.0.1'));
  const signer = ['-CA', authority, '-CAkey', file('authority-key.pem')];
  await openssl('-config', file('server.cnf'), ...signer, '-keyout', key, '-out', certificate);
  return { authority, authorityDirectory, certificate, key };
}

function configOf(commonName: string, extension: string): string {
  return `[req]
prompt = no
distinguished_name = name
x509_extensions = extensions

[name]
CN = ${commonName}

[extensions]
${extension}
`;
}
