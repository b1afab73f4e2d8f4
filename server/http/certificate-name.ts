import type { X509Certificate } from 'node:crypto';
import type { CertificateUser } from '../auth/certificate-user.ts';

/** What in a certificate names its user: the common name of its subject, or a subject alternative name. */
export type NamedBy = 'commonName' | 'email' | 'dns' | 'uri';

// As Node spells them.
const LABELS = { email: 'email', dns: 'DNS', uri: 'URI' } as const;

const NAME_MAX_LENGTH = 255;
// What cannot be seen makes one name look like another. A star is a pattern, and U+FFFD what could not be read.
const UNFIT = /[\p{C}\p{Zl}\p{Zp}*\uFFFD]/u;
// RFC 5280 section 4.2.1.6: all three kinds are IA5String, and none of them has blanks.
const ALTERNATIVE_NAME = /^[!-~]+$/;

/** Whom a certificate names, be it believed or not. It has to name exactly one: of two, either could be a trick. */
export function userNamedBy(certificate: X509Certificate, part: NamedBy): CertificateUser {
  const values = part === 'commonName' ? commonNames(certificate) : alternativeNames(certificate, LABELS[part]);
  if (values === undefined) return namesNobody('its subject alternative names cannot be read');
  const [name = '', ...more] = values;
  if (values.length === 0) return namesNobody(`it has no ${part}`);
  if (more.length > 0) return namesNobody(`it has ${values.length} values of ${part}, and no more than one is taken`);
  if (name.length > NAME_MAX_LENGTH) return namesNobody(`its ${part} is over ${NAME_MAX_LENGTH} characters`);
  return isName(name, part) ? { user: name } : namesNobody(`its ${part} is none that a user can have`);
}

function namesNobody(why: string): CertificateUser {
  return { fault: `the client certificate names nobody: ${why} (access.certificateUser)` };
}

function isName(text: string, part: NamedBy): boolean {
  if (part !== 'commonName' && !ALTERNATIVE_NAME.test(text)) return false;
  return text !== '' && text.trim() === text && !UNFIT.test(text);
}

/** From the members that Node has read: its text of a subject would have to be taken apart again. */
function commonNames(certificate: X509Certificate): readonly string[] {
  const { subject } = certificate.toLegacyObject();
  // Of one that OpenSSL cannot read there is none, whatever the types say.
  const names: string | string[] | undefined = (subject as Partial<typeof subject> | undefined)?.CN;
  return names === undefined ? [] : [names].flat();
}

// Since CVE-2021-44532 Node writes whatever holds a comma, a quote or anything odd as a JSON string; the rest has none.
const ENTRY = /([A-Za-z0-9 ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/** Undefined for a text that is not all entries: half of it might be read for something else. */
function alternativeNames({ subjectAltName = '' }: X509Certificate, label: string): readonly string[] | undefined {
  const values: string[] = [];
  ENTRY.lastIndex = 0;
  while (ENTRY.lastIndex < subjectAltName.length) {
    const [, kind, written = ''] = ENTRY.exec(subjectAltName) ?? [];
    if (kind === undefined) return undefined;
    if (kind === label) values.push(written.startsWith('"') ? String(JSON.parse(written)) : written);
  }
  return values;
}
