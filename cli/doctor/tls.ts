import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { TlsConfig } from '../../config/config.ts';
import { chainFindings, oneLine, type CertificateChain } from './certificate-chain.ts';
import { about, type Check, type Finding } from './finding.ts';
import { codeOf } from './nearest.ts';
import { validityFindings } from './validity.ts';

const tls = about('TLS');

/** Whether clients will accept the certificate, and the server its key. */
export const checkTls: Check = async ({ config: { http }, now }) => {
  if (http.tls === undefined) return [];
  const chain = await readChain(http.tls.certificate);
  if ('level' in chain) return [chain, ...(await keyFindings(http.tls, undefined))];
  const [leaf] = chain;
  const findings = [
    ...validityFindings(tls, chain, { now: now(), renew: RENEW }),
    ...chainFindings(chain),
    ...nameFindings(leaf, http.host),
    ...(await keyFindings(http.tls, leaf)),
  ];
  return findings.length > 0
    ? findings
    : [tls.ok(`${oneLine(leaf.subject)}, valid until ${leaf.validToDate.toISOString()}`)];
};

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

async function readChain(file: string): Promise<CertificateChain | Finding> {
  try {
    const blocks = (await readFile(file, 'utf8')).match(CERTIFICATE) ?? [];
    const [leaf, ...others] = blocks.map((block) => new X509Certificate(block));
    if (leaf !== undefined) return [leaf, ...others];
    return tls.problem(`${file} holds no certificate`, 'Name a PEM file: it has a line "BEGIN CERTIFICATE".');
  } catch (error) {
    return tls.problem(`the certificate in ${file} cannot be read (${codeOf(error)})`, READABLE);
  }
}

const READABLE = 'Name a PEM file that this user may read, and give it whole.';

const RENEW = 'Renew it; the server takes the new file without a restart.';

function nameFindings(leaf: X509Certificate, host: string | undefined): Finding[] {
  if (host === undefined) return [];
  const hostname = new URL(host).hostname.replace(/^\[(.*)\]$/, '$1');
  const isCovered = isIP(hostname) === 0 ? leaf.checkHost(hostname, { subject: 'never' }) : leaf.checkIP(hostname);
  if (isCovered !== undefined) return [];
  const names = leaf.subjectAltName ?? 'no names at all';
  return [
    tls.problem(
      `clients are sent to ${hostname} by http.host, and the certificate is for ${names}`,
      `Get a certificate with ${hostname} among its subject alternative names, or correct http.host.`,
    ),
  ];
}

async function keyFindings({ key }: TlsConfig, leaf: X509Certificate | undefined): Promise<Finding[]> {
  try {
    const parsed = createPrivateKey(await readFile(key));
    const findings = await exposedKey(key);
    if (leaf === undefined || leaf.checkPrivateKey(parsed)) return findings;
    const saw = `the key in ${key} belongs to another certificate`;
    return [...findings, tls.problem(saw, 'Name the key that the certificate was requested with.')];
  } catch (error) {
    return [
      tls.problem(`the key in ${key} cannot be read (${codeOf(error)})`, `${READABLE} It must have no passphrase.`),
    ];
  }
}

const READABLE_BY_ALL = 0o004;

async function exposedKey(key: string): Promise<Finding[]> {
  const { mode } = await stat(key);
  if ((mode & READABLE_BY_ALL) === 0) return [];
  return [tls.warning(`every user of this machine can read the key in ${key}`, `chmod o= ${key}`)];
}
