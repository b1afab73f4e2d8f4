import { z } from 'zod';
import { isNetwork } from './address.ts';
import { isActionWord, isMember, isRepositoryPattern, isTagPattern, isWho } from './access-words.ts';
import {
  choice,
  date,
  duration,
  file,
  fileOrUrl,
  flag,
  named,
  oneOrMore,
  SECTION,
  sections,
  secureUrl,
  line,
  identifier,
} from './field.ts';

/* The keys about who may do what. */

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

export const access = z.strictObject(
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
