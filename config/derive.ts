import { availableParallelism } from 'node:os';
import path from 'node:path';
import { parseAddress } from './address.ts';
import { accessConfig } from './derive-access.ts';
import { indexConfig } from './derive-index.ts';
import type {
  Config,
  HttpConfig,
  IntegrityConfig,
  LimitsConfig,
  ListenAddress,
  QuotaConfig,
  RedirectConfig,
  RetentionConfig,
  S3Config,
  TlsConfig,
} from './config.ts';
import { parseDuration, parseRate, parseSize } from './quantity.ts';
import type { Settings } from './schema.ts';

const MAX_AUTO_WORKERS = 4;

/** What follows from settings without a fault. `cwd` is where relative paths start. */
export function deriveConfig(settings: Settings, cwd: string): Config {
  const { address, root, readOnly, storage, uploads, limits, collection, manifests, log, metrics } = settings;
  return frozen({
    address: listenAddress(address),
    root: path.resolve(cwd, root),
    workers: workersOf(settings),
    // A process that nobody needs yet takes 20 MiB, and its start time from the first one's.
    workersAtStart: settings.workers === 'auto' ? 1 : settings.workers,
    readOnly,
    http: httpConfig(settings.http, cwd),
    storage: {
      driver: storage.driver,
      cacheBytes: bytes(storage.cache),
      transferMemoryBytes: bytes(storage.transferMemory),
      ...s3Config(storage, cwd),
    },
    index: indexConfig(settings.index, cwd),
    uploads: { expireAfterMs: milliseconds(uploads.expireAfter), maxSessions: uploads.maxSessions },
    limits: limitsConfig(limits),
    collection: {
      isOn: collection.enabled,
      graceMs: milliseconds(collection.grace),
      undoMs: milliseconds(collection.undo),
    },
    retention: retentionConfig(settings.retention),
    quotas: settings.quotas.map(quotaConfig),
    integrity: integrityConfig(settings.integrity),
    manifests: { maxSizeBytes: bytes(manifests.maxSize), allowSparseImages: manifests.allowSparseImages },
    log,
    metrics: metrics.address === undefined ? {} : { address: listenAddress(metrics.address) },
    access: accessConfig(settings, cwd),
  });
}

function s3Config({ driver, s3 }: Settings['storage'], cwd: string): { readonly s3?: S3Config } {
  if (driver !== 's3') return {};
  const { bucket = '', region, pathStyle, accessKeyId, secretAccessKey, encryption } = s3;
  const prefix = (s3.prefix ?? '').replaceAll(/^\/|\/$/g, '');
  return {
    s3: {
      bucket,
      prefix: prefix === '' ? '' : `${prefix}/`,
      region,
      pathStyle,
      partMemoryBytes: bytes(s3.partMemory),
      ...(s3.copyLaterFrom !== 'never' && { deferCopiesFromBytes: bytes(s3.copyLaterFrom) }),
      ...(s3.endpoint !== undefined && { endpoint: new URL(s3.endpoint).origin }),
      ...(accessKeyId !== undefined &&
        secretAccessKey !== undefined && { credentials: { accessKeyId, secretAccessKey } }),
      ...(s3.authorities !== undefined && { authorities: path.resolve(cwd, s3.authorities) }),
      ...(encryption !== 'none' && { encryption }),
      ...(s3.kmsKeyId !== undefined && { kmsKeyId: s3.kmsKeyId }),
      ...(s3.storageClass !== undefined && { storageClass: s3.storageClass }),
      ...(s3.redirect.enabled && { redirect: redirectConfig(s3.redirect) }),
    },
  };
}

function redirectConfig({ endpoint, addresses, expireAfter }: Settings['storage']['s3']['redirect']): RedirectConfig {
  return {
    ...(endpoint !== undefined && { endpoint: new URL(endpoint).origin }),
    addresses,
    expireAfterMs: milliseconds(expireAfter),
  };
}

function workersOf({ workers, storage }: Settings): number {
  if (workers !== 'auto') return workers;
  return storage.driver === 'memory' ? 1 : Math.min(availableParallelism(), MAX_AUTO_WORKERS);
}

function httpConfig(http: Settings['http'], cwd: string): HttpConfig {
  const tls = tlsConfig(http.tls, cwd);
  return {
    ...(http.host !== undefined && { host: new URL(http.host).origin }),
    trustedProxies: http.trustedProxies,
    ...(tls !== undefined && { tls }),
    drainTimeoutMs: milliseconds(http.drainTimeout),
    headersTimeoutMs: milliseconds(http.headersTimeout),
    keepAliveTimeoutMs: milliseconds(http.keepAliveTimeout),
    minimumRate: {
      bytesPerSecond: bytes(http.minimumRate.bytesPerSecond),
      overMs: milliseconds(http.minimumRate.over),
    },
    sendTimeoutMs: milliseconds(http.sendTimeout),
    sendfile: http.sendfile,
  };
}

function tlsConfig(
  { certificate, key, clientAuthorities }: Settings['http']['tls'],
  cwd: string,
): TlsConfig | undefined {
  if (certificate === undefined || key === undefined) return undefined;
  return {
    certificate: path.resolve(cwd, certificate),
    key: path.resolve(cwd, key),
    ...(clientAuthorities !== undefined && { clientAuthorities: path.resolve(cwd, clientAuthorities) }),
  };
}

function retentionConfig({ tags, untagged, expiryLabels }: Settings['retention']): RetentionConfig {
  return {
    tags: tags.map((rule) => ({
      repositories: asList(rule.repositories),
      tags: asList(rule.tags),
      order: rule.order,
      ...(rule.keepNewest !== undefined && { keepNewest: rule.keepNewest }),
      ...(rule.keepPulledWithin !== undefined && { keepPulledWithinMs: milliseconds(rule.keepPulledWithin) }),
      ...(rule.expireAfter !== undefined && { expireAfterMs: milliseconds(rule.expireAfter) }),
    })),
    untagged: untagged.map(({ repositories, removeAfter }) => ({
      repositories: asList(repositories),
      ...(removeAfter !== 'never' && { removeAfterMs: milliseconds(removeAfter) }),
    })),
    expiryLabels,
  };
}

function quotaConfig(quota: Settings['quotas'][number]): QuotaConfig {
  return {
    repositories: asList(quota.repositories),
    per: quota.per,
    ...(quota.bytes !== undefined && { bytes: bytes(quota.bytes) }),
    ...(quota.tags !== undefined && { tags: quota.tags }),
  };
}

function integrityConfig({ scrubEvery, scrubRate, verifyReads }: Settings['integrity']): IntegrityConfig {
  return {
    ...(scrubEvery !== 'never' && { scrubEveryMs: milliseconds(scrubEvery) }),
    scrubBytesPerSecond: bytes(scrubRate),
    verifyReads,
  };
}

function asList(texts: string | readonly string[]): readonly string[] {
  return typeof texts === 'string' ? [texts] : texts;
}

function limitsConfig({ perAddress, perAccount, uploadsPerAccount }: Settings['limits']): LimitsConfig {
  return {
    ...(perAddress !== 'off' && { perAddress: checked(parseRate(perAddress), perAddress) }),
    ...(perAccount !== 'off' && { perAccount: checked(parseRate(perAccount), perAccount) }),
    uploadsPerAccount,
  };
}

function listenAddress(text: string): ListenAddress {
  return checked(parseAddress(text), text);
}

function milliseconds(written: string | 0): number {
  return checked(parseDuration(String(written)), written);
}

function bytes(value: string | number): number {
  return checked(parseSize(value), value);
}

/** The schema let only values through that these parsers take; anything else is a fault of ours. */
function checked<T>(parsed: T | undefined, written: string | number): T {
  if (parsed === undefined) throw new TypeError(`the schema let ${written} pass`);
  return parsed;
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(value).forEach(frozen);
  return Object.freeze(value);
}
