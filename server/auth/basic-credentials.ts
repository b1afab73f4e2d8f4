/** RFC 7617. The user of an empty name is nobody. */
export interface BasicCredentials {
  readonly user: string;
  readonly password: string;
}

// Longer than any name and password that are accepted, and nothing that is worth decoding.
const LONGEST = 8 * 1024;
const FORM = /^basic +([A-Za-z0-9+/]+={0,2}) *$/i;

/** The user and password of an `Authorization` header; a text that says what is wrong with it otherwise. */
export function parseBasic(header: string): BasicCredentials | string {
  if (header.length > LONGEST) return `an Authorization header has at most ${LONGEST} characters`;
  const [, encoded] = FORM.exec(header) ?? [];
  if (encoded === undefined) return 'the Authorization header is "Basic" and the base64 of user:password';
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1) return 'Basic credentials are user:password in base64, with a user';
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}
