import { DatabaseError } from 'pg';
import { StorageError, type StorageFailure } from '../../blobs/driver.ts';
import { IndexError } from '../index-error.ts';

// https://www.postgresql.org/docs/current/errcodes-appendix.html
const DISK_FULL = '53100';
const OTHER_AUTHORITY = 'name the file of the authority that signed its certificate in index.postgres.authorities';
const NO_SERVER = 'index.postgres has to name a server that runs, and that this machine reaches';
const TOO_MANY = 'raise what the server allows (max_connections), or lower index.postgres.poolSize';
const ADVICE: Readonly<Record<string, string>> = {
  '28000': 'create the role, let pg_hba.conf admit it, or name another in index.postgres.user',
  '28P01': 'the password is not right',
  '3D000': 'create the database first; it is never created by itself',
  '42501': 'make the user the owner of the database, or grant it CREATE on its schema',
  '42P07': 'the database belongs to another program: give this one a database of its own',
  '53300': TOO_MANY,
  // Node's own.
  ENOTFOUND: NO_SERVER,
  ECONNREFUSED: NO_SERVER,
  // The same, of the certificate that the server shows.
  SELF_SIGNED_CERT_IN_CHAIN: OTHER_AUTHORITY,
  DEPTH_ZERO_SELF_SIGNED_CERT: OTHER_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: OTHER_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: OTHER_AUTHORITY,
  ERR_TLS_CERT_ALTNAME_INVALID: 'set index.postgres.host to a name that its certificate has',
  CERT_HAS_EXPIRED: 'give the server a new certificate',
  '55P03':
    'somebody else has written to the index, or read it, for longer than that: a server that migrates it, perhaps; ' +
    'what was to be written can be tried again',
  '25006': 'the database only reads: name the server that takes writes, or put default_transaction_read_only off',
};
// The server goes away, or is not there yet: class 57P0x, and what a pooler says of the server behind it.
const ENDS_CONNECTION = /^(?:57P0[1-5]|08\w{3}|25P03)$/;

/** What the database, or the way to it, has to do with an error of `pg`. */
export function asStorageError(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  const { message, code } = error as { readonly message?: string; readonly code?: string };
  const failure: StorageFailure = code === DISK_FULL ? 'full' : 'unavailable';
  const advice = code !== undefined && code in ADVICE ? `; ${ADVICE[code]}` : '';
  return new IndexError(failure, `PostgreSQL: ${textOf(message, error)}${advice}`, error);
}

/** Node tries several addresses at once, and then says what became of each. */
function textOf(message: string | undefined, error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map((each: Error) => each.message).join(', ');
  return message ?? String(error);
}

/** Whether the connection is of no use any more, whatever the statement was. */
export function isLost(error: unknown): boolean {
  // Everything that the server did not say itself: the socket broke, or no answer came in time.
  return !(error instanceof DatabaseError) || ENDS_CONNECTION.test(error.code ?? '');
}

/** Whether the server, or the way to it, is in trouble: not this statement, nor what its caller makes of it. */
export function isOutage(error: unknown): boolean {
  return error instanceof IndexError && error.cause !== undefined && isLost(error.cause);
}
