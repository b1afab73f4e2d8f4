/** The accounts of an htpasswd file: the bcrypt hash of each user's password. */
export type Accounts = ReadonlyMap<string, string>;

/** A file that cannot be used; the message says which line, and what to do, without showing any of it. */
export class HtpasswdError extends Error {
  override readonly name = 'HtpasswdError';
}

// Apache writes $2y$, others $2a$ and $2b$: the same algorithm. The two digits are the logarithm of the rounds.
const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/;
const LEAST_COST = 4;
const MOST_COST = 16;
const USER_MAX_LENGTH = 255;

/**
 * Parses a file as `htpasswd -B` writes it: a user and a hash a line. Empty lines and lines that begin with `#` are
 * passed over.
 *
 * @throws HtpasswdError at the first line that cannot be used: a user that is left out by mistake would be locked out
 */
export function parseHtpasswd(text: string, file: string): Accounts {
  const accounts = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.trim();
    if (entry === '' || entry.startsWith('#')) continue;
    const { user, hash } = parseEntry(entry, `${file}:${index + 1}`);
    if (accounts.has(user)) throw new HtpasswdError(`${file}:${index + 1}: this user is there a second time: keep one`);
    accounts.set(user, hash);
  }
  return accounts;
}

function parseEntry(entry: string, place: string): { readonly user: string; readonly hash: string } {
  const colon = entry.indexOf(':');
  const [user, hash] = [entry.slice(0, colon), entry.slice(colon + 1)];
  if (colon < 1) throw new HtpasswdError(`${place}: a line is user:hash: write it with "htpasswd -B FILE USER"`);
  if (user.length > USER_MAX_LENGTH || /\p{Cc}/u.test(user)) {
    throw new HtpasswdError(
      `${place}: a user has at most ${USER_MAX_LENGTH} characters, none of them a control character`,
    );
  }
  const cost = Number(BCRYPT.exec(hash)?.[1] ?? Number.NaN);
  if (Number.isNaN(cost)) {
    throw new HtpasswdError(`${place}: the hash is not bcrypt's: set the password again with "htpasswd -B FILE USER"`);
  }
  if (cost < LEAST_COST || cost > MOST_COST) {
    throw new HtpasswdError(`${place}: the cost of the hash is ${cost}: use ${LEAST_COST} to ${MOST_COST}, better 10`);
  }
  return { user, hash: hash.replace(/^\$2[ay]\$/, '$2b$') };
}
