import type { X509Certificate } from 'node:crypto';
import { hasIssuer, readClientAuthorities } from '../../server/http/client-authorities.ts';
import { TlsError } from '../../server/http/tls-file.ts';
import { oneLine } from './certificate-chain.ts';
import { about, type Check, type Finding } from './finding.ts';
import { validityFindings } from './validity.ts';

const authorities = about('client authorities');

const RENEW = 'Take it out, or put its successor beside it: certificates that it issued are refused.';

/** Whether certificates of clients can be believed. */
export const checkClientAuthorities: Check = async ({ config: { http }, now }) => {
  const file = http.tls?.clientAuthorities;
  if (file === undefined) return [];
  try {
    const read = await readClientAuthorities(file);
    const findings = [...validityFindings(authorities, read, { now: now(), renew: RENEW }), ...openEnds(read)];
    const names = read.map(({ subject }) => oneLine(subject)).join('; ');
    return findings.length > 0 ? findings : [authorities.ok(`clients log in with certificates of ${names}`)];
  } catch (error) {
    if (!(error instanceof TlsError)) throw error;
    const advice = 'Name a PEM file with the authorities alone; a running server keeps those that it has.';
    return [authorities.problem(error.message, advice)];
  }
};

function openEnds(read: readonly X509Certificate[]): Finding[] {
  return read
    .filter((authority) => !hasIssuer(authority, read))
    .map(({ subject, issuer }) =>
      authorities.problem(
        `${oneLine(subject)} was issued by ${oneLine(issuer)}, which is not in the file: its clients are refused`,
        'Append the certificates of the authorities above it, up to the one that signed itself.',
      ),
    );
}
