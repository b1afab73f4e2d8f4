import { z } from 'zod';
import { isNetwork } from './address.ts';
import {
  address,
  choice,
  duration,
  durationFromZero,
  file,
  flag,
  integer,
  integerOr,
  list,
  origin,
  rateOr,
  SECTION,
  sections,
  size,
} from './field.ts';
import { access } from './schema-access.ts';
import { index } from './schema-index.ts';
import { collection, integrity, quota, retention } from './schema-space.ts';
import { storage } from './schema-storage.ts';

/*
 * Every key there is: its name, its values, its default and its meaning. The documentation, the JSON Schema and the
 * names of the variables come from here; rules between keys are in contradictions.ts.
 */

const tls = z.strictObject(
  {
    certificate: file('PEM file with the certificate of the server, followed by its intermediates.').optional(),
    key: file('PEM file with the private key of the certificate.').optional(),
    clientAuthorities: file(
      'PEM file with the authorities whose client certificates log their users in; read again when it changes.',
    ).optional(),
  },
  SECTION,
);

const minimumRate = z.strictObject(
  {
    bytesPerSecond: size(
      'A request body that arrives more slowly is cut with 408; 0 accepts any.',
      '0',
      '1GiB',
    ).default('1KiB'),
    over: duration('The time over which the rate of a request body is taken.', '1s', '1h').default('60s'),
  },
  SECTION,
);

const http = z.strictObject(
  {
    host: origin('How clients reach this server, for absolute Location headers; unset, they are relative.').optional(),
    trustedProxies: list(
      'Reverse proxies whose X-Forwarded-For header counts.',
      'IP addresses or ranges, such as 10.0.0.0/8',
      (expected) => z.string(expected).refine(isNetwork, expected),
    ).default([]),
    tls: tls.prefault({}),
    drainTimeout: durationFromZero('How long running transfers may go on after SIGTERM.', '1h').default('30s'),
    headersTimeout: duration('How long a client may take to send the headers of a request.', '1s', '5m').default('15s'),
    keepAliveTimeout: duration('How long an idle connection is kept for the next request.', '1s', '1h').default('75s'),
    minimumRate: minimumRate.prefault({}),
    sendTimeout: duration('A response of which the client takes nothing for this long is cut.', '1s', '1d').default(
      '120s',
    ),
    sendfile: flag('Whether large blobs go out inside the kernel where it can (Linux, no TLS).').default(true),
  },
  SECTION,
);

const uploads = z.strictObject(
  {
    expireAfter: duration('An upload without progress for this long is removed.', '1s', '365d').default('24h'),
    maxSessions: integer('How many uploads may be open at once.', 1, 1_000_000).default(10_000),
  },
  SECTION,
);

const MOST_REQUESTS = 1_000_000;

const limits = z.strictObject(
  {
    perAddress: rateOr(
      'off',
      'How many requests a client address may send; IPv6 counts by /64.',
      MOST_REQUESTS,
    ).default('off'),
    perAccount: rateOr('off', 'How many requests an account may send.', MOST_REQUESTS).default('off'),
    uploadsPerAccount: integer(
      'How many requests of an account may send blobs at once, per worker; others wait. 0 sets no bound.',
      0,
      10_000,
    ).default(100),
  },
  SECTION,
);

const manifests = z.strictObject(
  {
    maxSize: size('The largest manifest that is accepted.', '4MiB', '64MiB').default('4MiB'),
    allowSparseImages: flag('Whether an image may be pushed whose config or layers are not here.').default(false),
  },
  SECTION,
);

const log = z.strictObject(
  {
    level: choice('The least severe messages that are logged.', ['trace', 'debug', 'info', 'warn', 'error']).default(
      'info',
    ),
    format: choice('The form of log lines; auto is pretty on a terminal and json elsewhere.', [
      'auto',
      'json',
      'pretty',
    ]).default('auto'),
    access: flag('Whether each request is logged in one line.').default(true),
  },
  SECTION,
);

const metrics = z.strictObject(
  {
    address: address(
      'Where /metrics is served; unset, on the main address, and only if that is a loopback address.',
    ).optional(),
  },
  SECTION,
);

export const settingsSchema = z.strictObject(
  {
    address: address('Where the registry is served.').default('127.0.0.1:5000'),
    root: file('The directory that holds everything.').default('./data'),
    workers: integerOr(
      'auto',
      'How many processes serve; auto starts one, and more under load, up to one per core and at most 4.',
      1,
      64,
    ).default('auto'),
    readOnly: flag('Whether pushes and deletions are refused.').default(false),
    http: http.prefault({}),
    storage: storage.prefault({}),
    index: index.prefault({}),
    uploads: uploads.prefault({}),
    limits: limits.prefault({}),
    collection: collection.prefault({}),
    retention: retention.prefault({}),
    quotas: sections(
      'How full repositories may get; every quota that fits holds.',
      'a list of quotas, such as {repositories: team/**, bytes: 50GiB}',
      quota,
    ).default([]),
    integrity: integrity.prefault({}),
    manifests: manifests.prefault({}),
    log: log.prefault({}),
    metrics: metrics.prefault({}),
    access: access.prefault({}),
  },
  'keys with values',
);

/** Every key with its value as it was written, defaults filled in. */
export type Settings = z.output<typeof settingsSchema>;
