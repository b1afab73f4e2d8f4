import type { X509Certificate } from 'node:crypto';
import { oneLine } from './certificate-chain.ts';
import type { about, Finding } from './finding.ts';

const SOON_MS = 21 * 86_400_000;

/** Which certificates are not valid, or soon will not be. */
export function validityFindings(
  subject: ReturnType<typeof about>,
  certificates: readonly X509Certificate[],
  { now, renew }: { readonly now: Date; readonly renew: string },
): Finding[] {
  return certificates.flatMap((certificate) => {
    const { validFromDate, validToDate } = certificate;
    const name = oneLine(certificate.subject);
    const until = `${name} is valid until ${validToDate.toISOString()}`;
    if (validToDate <= now) return [subject.problem(`${until}: it has expired`, renew)];
    if (validFromDate > now) {
      const from = `${name} is valid only from ${validFromDate.toISOString()}`;
      return [subject.problem(from, 'Set the clock right, or wait.')];
    }
    return validToDate.getTime() - now.getTime() < SOON_MS ? [subject.warning(until, renew)] : [];
  });
}
