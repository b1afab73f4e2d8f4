/** Where a PostgreSQL database is and how it is used. */
export interface PostgresOptions {
  /** A name, an address, or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** Undefined: the server asks for none. */
  readonly password: string | undefined;
  /** Undefined: no TLS. */
  readonly tls: PostgresTls | undefined;
  /** Connections of this process, at most; at least `MIN_POOL_SIZE`. */
  readonly poolSize: number;
}

export interface PostgresTls {
  /** PEM; undefined: those that Node trusts. */
  readonly authorities: string | undefined;
}

/** One to write, one that waits to write, one to make it durable, one to read. */
export const MIN_POOL_SIZE = 4;
