import type { RegistryError } from '../../oci/errors.ts';
import { ANONYMOUS, type Caller } from './caller.ts';
import type { Login } from './login.ts';

/** What a client certificate says of who shows it: whom it names, or why it is not believed. */
export type CertificateUser =
  | { readonly user: string; /** Milliseconds since 1970. */ readonly validTo?: number }
  | { readonly fault: string };

/** Undefined where none was shown. Asked only where it matters: whoever shows something else is not looked at. */
export type ShowsCertificate = () => CertificateUser | undefined;

/** What tokens are made from that are given for a certificate: their user needs no account. */
export const VIA_CERTIFICATE = 'certificate';

/**
 * Whoever shows a certificate, and nothing that goes before it.
 *
 * @throws the refusal, where one was shown that is not believed: a client that is taken for anybody would not learn why
 */
export function certificateLogin(
  shown: CertificateUser | undefined,
  callerOf: (user: string) => Caller,
  refusal: (reason: string) => RegistryError,
): Login {
  if (shown === undefined) return { caller: ANONYMOUS, credential: 'none' };
  if ('fault' in shown) throw refusal(shown.fault);
  const { user, validTo } = shown;
  const ends = validTo === undefined ? {} : { expiresAt: validTo };
  return { caller: callerOf(user), credential: 'certificate', via: VIA_CERTIFICATE, ...ends };
}
