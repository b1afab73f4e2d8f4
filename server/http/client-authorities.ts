import type { X509Certificate } from 'node:crypto';
import { certificateBlocks, parseCertificate, readTlsFile, TlsError } from './tls-file.ts';

/**
 * Reads the authorities whose client certificates are believed.
 *
 * @throws TlsError for a file without any, and for a certificate that is no authority's: the server of an empty list
 *   would believe those that Node trusts by itself, and OpenSSL takes a certificate that stands there at its word
 */
export async function readClientAuthorities(file: string): Promise<readonly X509Certificate[]> {
  const pem = await readTlsFile(file, 'client authorities');
  const [first = pem, ...more] = certificateBlocks(pem);
  const authorities = [first, ...more].map((block) => parseCertificate(block, file));
  const other = authorities.find(({ ca }) => !ca);
  if (other === undefined) return authorities;
  throw new TlsError(
    `${file} holds ${oneLine(other.subject)}, which is no authority (CA:TRUE): ` +
      'name the authority that issued it, with all authorities above that one',
  );
}

/** What keeps certificates of these authorities from being believed: sentences for the log. */
export function authorityWarnings(authorities: readonly X509Certificate[], file: string, now: Date): string[] {
  return authorities.flatMap((authority) => {
    const name = oneLine(authority.subject);
    if (now > authority.validToDate) return [`the authority ${name} in ${file} has expired: its clients are refused`];
    return hasIssuer(authority, authorities) ? [] : [`${name} in ${file} was issued by none of the authorities there`];
  });
}

/** OpenSSL believes what leads to an authority that signed itself. */
export function hasIssuer(authority: X509Certificate, authorities: readonly X509Certificate[]): boolean {
  return authorities.some((issuer) => authority.checkIssued(issuer));
}

/** A distinguished name, which Node spells in lines. */
function oneLine(name: string): string {
  return name.replaceAll('\n', ', ');
}
