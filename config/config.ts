import type { Rate } from './quantity.ts';

/**
 * What the server runs with: checked, complete and frozen.
 *
 * Plain JSON, so that the primary hands it to its workers as text. Paths are absolute, durations are milliseconds
 * (`...Ms`), sizes are bytes (`...Bytes`). An optional key that was not set is absent. `config/schema.ts` says what
 * each key means; `config/load.ts` makes one.
 */
export interface Config {
  readonly address: ListenAddress;
  readonly root: string;
  /** How many processes serve at most; `auto` is settled already. */
  readonly workers: number;
  /** How many of them serve from the start; the others follow when these have their hands full. */
  readonly workersAtStart: number;
  readonly readOnly: boolean;
  readonly http: HttpConfig;
  readonly storage: StorageConfig;
  readonly index: IndexConfig;
  readonly uploads: UploadsConfig;
  readonly limits: LimitsConfig;
  readonly collection: CollectionConfig;
  readonly retention: RetentionConfig;
  readonly quotas: readonly QuotaConfig[];
  readonly integrity: IntegrityConfig;
  readonly manifests: ManifestsConfig;
  readonly log: LogConfig;
  readonly metrics: MetricsConfig;
  readonly access: AccessConfig;
}

/** Where to listen. `host` is an IP address without brackets, or a name; port 0 asks the system for a free one. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface HttpConfig {
  /** Origin (`https://registry.example.com`, no slash at the end) of absolute `Location` headers. */
  readonly host?: string;
  /** IP addresses and CIDR ranges whose forwarded headers count. */
  readonly trustedProxies: readonly string[];
  readonly tls?: TlsConfig;
  readonly drainTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly minimumRate: MinimumRate;
  readonly sendTimeoutMs: number;
  readonly sendfile: boolean;
}

/** Files in PEM form. */
export interface TlsConfig {
  readonly certificate: string;
  readonly key: string;
  /** Whose client certificates are believed; absent: clients are asked for none. */
  readonly clientAuthorities?: string;
}

/** A request body slower than `bytesPerSecond`, taken over `overMs`, is cut; 0 bytes switches that off. */
export interface MinimumRate {
  readonly bytesPerSecond: number;
  readonly overMs: number;
}

export interface StorageConfig {
  readonly driver: 'filesystem' | 's3' | 'memory';
  /** There with the driver of its name. */
  readonly s3?: S3Config;
  /** Per worker. */
  readonly cacheBytes: number;
  /** Per worker. */
  readonly transferMemoryBytes: number;
}

export interface S3Config {
  readonly bucket: string;
  /** Empty, or with a slash at its end and none before. */
  readonly prefix: string;
  readonly region: string;
  readonly endpoint?: string;
  readonly pathStyle: boolean;
  /** Absent: those that the tools of AWS find. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** File in PEM form. */
  readonly authorities?: string;
  /** Absent: as the bucket says. */
  readonly encryption?: 'AES256' | 'aws:kms';
  readonly kmsKeyId?: string;
  readonly storageClass?: string;
  /** Absent: clients are never sent to the bucket. */
  readonly redirect?: RedirectConfig;
  /** Per worker. */
  readonly partMemoryBytes: number;
  /** Absent: every copy is waited for. */
  readonly deferCopiesFromBytes?: number;
}

/** Clients that fetch blobs from the bucket themselves. */
export interface RedirectConfig {
  /** Origin; absent: as that of the server, or AWS. */
  readonly endpoint?: string;
  /** IP addresses and CIDR ranges of clients; empty: all of them. */
  readonly addresses: readonly string[];
  readonly expireAfterMs: number;
}

export interface IndexConfig {
  readonly driver: 'sqlite' | 'postgres';
  /** There with the driver of its name. */
  readonly postgres?: PostgresConfig;
}

export interface PostgresConfig {
  /** A name, an address, or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string;
  readonly tls: boolean;
  /** File in PEM form. */
  readonly authorities?: string;
  /** Per worker. */
  readonly poolSize: number;
}

export interface UploadsConfig {
  readonly expireAfterMs: number;
  readonly maxSessions: number;
}

/** Removing what nothing needs. */
export interface CollectionConfig {
  readonly isOn: boolean;
  /** How long content stays that nothing needs. */
  readonly graceMs: number;
  /** How long what was deleted can be brought back. */
  readonly undoMs: number;
}

/** What goes by itself. Of several rules that fit, the first decides. */
export interface RetentionConfig {
  readonly tags: readonly TagRetention[];
  readonly untagged: readonly UntaggedRetention[];
  /** Whether labels and annotations may say when an image goes. */
  readonly expiryLabels: boolean;
}

/** A tag that fits goes when none of the `keep...` that are set keeps it, and its `expireAfterMs`, if set, is over. */
export interface TagRetention {
  /** Patterns, as in access rules. */
  readonly repositories: readonly string[];
  readonly tags: readonly string[];
  readonly keepNewest?: number;
  readonly order: 'pushed' | 'semver';
  readonly keepPulledWithinMs?: number;
  readonly expireAfterMs?: number;
}

export interface UntaggedRetention {
  readonly repositories: readonly string[];
  /** Absent: they stay. */
  readonly removeAfterMs?: number;
}

/** At least one of `bytes` and `tags`. */
export interface QuotaConfig {
  readonly repositories: readonly string[];
  readonly bytes?: number;
  readonly tags?: number;
  /** For each repository, or for all that fit together. */
  readonly per: 'repository' | 'rule';
}

export interface IntegrityConfig {
  /** Within which time every blob is hashed again; absent: never. */
  readonly scrubEveryMs?: number;
  readonly scrubBytesPerSecond: number;
  /** Which large blobs are hashed while they are sent. */
  readonly verifyReads: 'stale' | 'always' | 'never';
}

/** Absent rates limit nothing. */
export interface LimitsConfig {
  /** Requests of one client address. */
  readonly perAddress?: Rate;
  /** Requests of one account. */
  readonly perAccount?: Rate;
  /** Requests with upload data at once, of one account in one worker; 0 bounds nothing. */
  readonly uploadsPerAccount: number;
}

export interface ManifestsConfig {
  readonly maxSizeBytes: number;
  readonly allowSparseImages: boolean;
}

export interface LogConfig {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  /** `auto` is settled where the output is known: pretty on a terminal, JSON elsewhere. */
  readonly format: 'auto' | 'json' | 'pretty';
  readonly access: boolean;
}

export interface MetricsConfig {
  /** Absent: `/metrics` is on the main address, and only when that is a loopback address. */
  readonly address?: ListenAddress;
}

export interface AccessConfig {
  readonly allowAnonymous: boolean;
  /** File with the accounts. */
  readonly htpasswd?: string;
  /** What in a client certificate names its user; absent where clients are asked for none. */
  readonly certificateUser?: 'commonName' | 'email' | 'dns' | 'uri';
  /** File that tells who did what, or `stdout` or `stderr`. */
  readonly audit?: string;
  /** How clients are told to log in. */
  readonly challenge: 'bearer' | 'basic';
  readonly tokenLifetimeMs: number;
  /** The users of each group. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
  /** Everyone may do everything. */
  readonly isOpen: boolean;
  /** Everything that none of them allows is denied, unless access is open. */
  readonly rules: readonly AccessRule[];
  /** Tokens of other issuers that stand for somebody here. */
  readonly trust: readonly TrustConfig[];
  /** A token server that decides who may do what. */
  readonly issuer?: IssuerConfig;
}

/** Which tokens of an OpenID Connect issuer are `trust:<name>` in the rules. */
export interface TrustConfig {
  readonly name: string;
  /** `iss` of its tokens. */
  readonly issuer: string;
  /** In `aud` of its tokens. */
  readonly audience: string;
  /** Patterns; each claim has to fit one of its own. */
  readonly claims: Readonly<Record<string, readonly string[]>>;
  /** A file or an https address of the keys; absent: where the issuer says. */
  readonly jwks?: string;
}

/** Where clients get tokens, and which are believed. Exactly one of `certificates` and `jwks`. */
export interface IssuerConfig {
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  /** PEM file. */
  readonly certificates?: string;
  /** A file or an https address. */
  readonly jwks?: string;
}

/** `push` makes what is new; a tag that is there moves with `overwrite` only. `admin` is about the server. */
export type AccessAction = 'pull' | 'push' | 'overwrite' | 'delete' | 'admin';

/** Something that is allowed. */
export interface AccessRule {
  /** `anonymous` (everyone), `authenticated`, or `user:`, `robot:`, `trust:` or `group:` and a name. */
  readonly who: readonly string[];
  readonly actions: readonly AccessAction[];
  /** Patterns: `*` is anything without a slash, `**` anything, `{user}` the caller's name. */
  readonly repositories: readonly string[];
  /** Patterns of the same kind. */
  readonly tags: readonly string[];
  /** IP addresses and CIDR ranges; absent, any. */
  readonly from?: readonly string[];
  /** The last moment, milliseconds since 1970. */
  readonly untilMs?: number;
}
