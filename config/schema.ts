import { z } from 'zod';
import { isNetwork } from './address.ts';
import { isActionWord, isMember, isRepositoryPattern, isTagPattern, isWho } from './access-words.ts';
import {
  address,
  choice,
  date,
  duration,
  file,
  fileOrUrl,
  flag,
  integer,
  integerOr,
  list,
  named,
  oneOrMore,
  origin,
  rateOr,
  sections,
  secureUrl,
  size,
  line,
  identifier,
} from './field.ts';

/*
 * Every key there is: its name, its values, its default and its meaning. The documentation, the JSON Schema and the
 * names of the variables come from here; rules between keys are in contradictions.ts.
 */

/** Completes "Write ..." where a section is anything but a map. */
const SECTION = 'the keys of this section, indented below it';

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
    drainTimeout: duration('How long running transfers may go on after SIGTERM.', '0', '1h').default('30s'),
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

const storage = z.strictObject(
  {
    driver: choice('Where blobs and manifests lie; memory forgets everything at the end.', [
      'filesystem',
      'memory',
    ]).default('filesystem'),
    cache: size('Memory for small manifests and blobs, per worker.', '0', '64GiB').default('64MiB'),
    transferMemory: size('Memory for blobs on their way to clients, per worker.', '1MiB', '64GiB').default('64MiB'),
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

const collection = z.strictObject(
  {
    enabled: flag('Whether blobs that no manifest needs are removed, while serving.').default(false),
    grace: duration('How long a blob stays that no manifest needs.', '1h', '365d').default('24h'),
  },
  SECTION,
);

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

const rule = z.strictObject(
  {
    who: oneOrMore(
      'Who it is for.',
      'anonymous, authenticated, a user, group:NAME, robot:NAME, trust:NAME, or a list of them',
      isWho,
    ),
    actions: oneOrMore(
      'What they may do.',
      'pull, push, overwrite, delete, admin, all, or a list of them',
      isActionWord,
    ),
    repositories: oneOrMore(
      'Which repositories, by patterns: * is anything without a slash, ** anything, {user} the name of who asks.',
      'a pattern such as team/**, or a list of them, at most 6 stars in each',
      isRepositoryPattern,
    ).default('**'),
    tags: oneOrMore(
      'Which tags, by patterns: * is anything.',
      'a pattern such as v*, or a list of them, at most 6 stars in each',
      isTagPattern,
    ).default('*'),
    from: oneOrMore(
      'From which addresses.',
      'an IP address or a range such as 10.0.0.0/8, or a list of them',
      isNetwork,
    ).optional(),
    until: date('Until when it holds, the day included.').optional(),
  },
  'a rule, such as {who: authenticated, actions: [pull, push]}',
);

const pattern = z.string('a pattern').min(1, 'a pattern').max(1000, 'a pattern of at most 1000 characters');

const trust = z.strictObject(
  {
    name: identifier('How the rules call it: trust:NAME.'),
    issuer: secureUrl('Who made the token (iss), exactly as it stands there.'),
    audience: line('Whom the token is for (aud): a name of this registry that its clients ask the issuer for.'),
    claims: named(
      'What else the token has to say: patterns, * is anything without a slash, ** anything.',
      'claims, each with a pattern such as my-org/*, or a list of them',
      z.union(
        [pattern, z.array(pattern, 'a pattern, or a list of them').min(1, 'at least one pattern')],
        'a pattern, or a list of them',
      ),
    ).refine((claims) => Object.keys(claims).length > 0, 'at least one claim, such as repository: my-org/*'),
    jwks: fileOrUrl('Where its keys are (JWKS), for an issuer that does not say so itself.').optional(),
  },
  'a trust, such as {name: ci, issuer: https://issuer.example.com, audience: registry, claims: {sub: my-org/*}}',
);

const issuer = z.strictObject(
  {
    realm: secureUrl('Where clients get tokens, such as https://auth.example.com/token.').optional(),
    service: line('What the token server calls this registry: aud of its tokens.').optional(),
    issuer: line('What the token server calls itself: iss of its tokens.').optional(),
    certificates: file('PEM file with the certificates whose keys sign its tokens.').optional(),
    jwks: fileOrUrl('The keys that sign its tokens (JWKS).').optional(),
  },
  SECTION,
);

const access = z.strictObject(
  {
    allowAnonymous: flag(
      'Whether everyone who reaches the server may pull, push and delete; needed for any address but loopback.',
    ).default(false),
    htpasswd: file('File with the accounts, bcrypt only (htpasswd -B); read again when it changes.').optional(),
    certificateUser: choice('What in a client certificate names its user (http.tls.clientAuthorities).', [
      'commonName',
      'email',
      'dns',
      'uri',
    ]).default('commonName'),
    challenge: choice('How clients are told to log in; Basic credentials are taken in either case.', [
      'bearer',
      'basic',
    ]).default('bearer'),
    tokenLifetime: duration('How long a token is valid.', '1m', '1h').default('5m'),
    audit: file(
      'File to which a line is appended for whatever somebody does, or is refused; stdout or stderr for a stream.',
    ).optional(),
    groups: named(
      'The users of each group, for rules.',
      'names of groups, each with a list of users',
      z.array(z.string('a list of users').refine(isMember, 'the name of a user'), 'a list of users'),
    ).default({}),
    rules: sections(
      'What is allowed to whom; everything else is denied. Unset, with accounts, they may do everything.',
      'a list of rules, such as {who: authenticated, actions: [pull, push]}',
      rule,
    ).optional(),
    trust: sections(
      'Tokens of OpenID Connect issuers, such as those of GitHub Actions, that are somebody in the rules: trust:NAME.',
      'a list of trusts, each with name, issuer, audience and claims',
      trust,
    ).default([]),
    issuer: issuer.prefault({}),
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
    uploads: uploads.prefault({}),
    limits: limits.prefault({}),
    collection: collection.prefault({}),
    manifests: manifests.prefault({}),
    log: log.prefault({}),
    metrics: metrics.prefault({}),
    access: access.prefault({}),
  },
  'keys with values',
);

/** Every key with its value as it was written, defaults filled in. */
export type Settings = z.output<typeof settingsSchema>;
