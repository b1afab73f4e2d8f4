import { z } from 'zod';
import { isPlainRepositoryPattern, isPlainTagPattern } from './access-words.ts';
import {
  choice,
  duration,
  durationFromZero,
  durationOr,
  flag,
  integer,
  oneOrMore,
  SECTION,
  sections,
  size,
} from './field.ts';

/* The keys about what goes, what stays and whether it is whole. */

export const collection = z.strictObject(
  {
    enabled: flag('Whether blobs that no manifest needs are removed, while serving.').default(true),
    grace: duration('How long a blob stays that no manifest needs.', '1h', '365d').default('24h'),
    undo: durationFromZero('How long what was deleted or overwritten can be brought back.', '365d').default('7d'),
  },
  SECTION,
);

const repositories = () =>
  oneOrMore(
    'Which repositories, by patterns: * is anything without a slash, ** anything.',
    'a pattern such as team/**, or a list of them, at most 6 stars in each',
    isPlainRepositoryPattern,
  ).default('**');

const tagRule = z
  .strictObject(
    {
      repositories: repositories(),
      tags: oneOrMore(
        'Which tags, by patterns: * is anything.',
        'a pattern such as v*, or a list of them, at most 6 stars in each',
        isPlainTagPattern,
      ).default('*'),
      keepNewest: integer('How many of these tags are kept in each repository, the newest.', 0, 1_000_000).optional(),
      order: choice('Which tags are the newest: those pushed last, or those with the highest version.', [
        'pushed',
        'semver',
      ]).default('pushed'),
      keepPulledWithin: duration('Tags that were pulled within this time are kept.', '1h', '3650d').optional(),
      expireAfter: duration('Tags go when they were pushed this long ago.', '1h', '3650d').optional(),
    },
    'a rule, such as {repositories: ci/**, expireAfter: 14d}',
  )
  .refine(
    (rule) => [rule.keepNewest, rule.keepPulledWithin, rule.expireAfter].some((value) => value !== undefined),
    'at least one of keepNewest, keepPulledWithin and expireAfter',
  );

const untaggedRule = z.strictObject(
  {
    repositories: repositories(),
    removeAfter: durationOr(
      'never',
      'How long a manifest without a tag stays that no index lists and that is attached to nothing.',
      '1h',
      '3650d',
    ),
  },
  'a rule, such as {repositories: ci/**, removeAfter: 7d}',
);

export const retention = z.strictObject(
  {
    tags: sections(
      'Which tags go by themselves; of several rules that a tag fits, the first decides. What no rule fits stays.',
      'a list of rules, such as {repositories: ci/**, tags: pr-*, keepNewest: 10}',
      tagRule,
    ).default([]),
    untagged: sections(
      'Which manifests without a tag go by themselves; the first rule that fits decides. They stay without one.',
      'a list of rules, such as {repositories: ci/**, removeAfter: 7d}',
      untaggedRule,
    ).default([]),
    expiryLabels: flag(
      'Whether an image goes when its label or annotation says so: entrepot.expires-after or quay.expires-after, such as 2w.',
    ).default(true),
  },
  SECTION,
);

export const quota = z
  .strictObject(
    {
      repositories: repositories(),
      bytes: size('How many bytes of blobs and manifests there may be.', '1MiB', '8000TiB').optional(),
      tags: integer('How many tags there may be.', 1, 10_000_000).optional(),
      per: choice('Whether that is for each repository, or for all of them together.', ['repository', 'rule']).default(
        'repository',
      ),
    },
    'a quota, such as {repositories: team/**, bytes: 50GiB}',
  )
  .refine(({ bytes, tags }) => bytes !== undefined || tags !== undefined, 'at least one of bytes and tags');

export const integrity = z.strictObject(
  {
    scrubEvery: durationOr('never', 'Within which time every blob is read and hashed again.', '1h', '3650d').default(
      '30d',
    ),
    scrubRate: size('How many bytes a second are read for that.', '64KiB', '64GiB').default('20MiB'),
    verifyReads: choice(
      'Which large blobs are hashed while they are sent: those not hashed within scrubEvery, all, or none.',
      ['stale', 'always', 'never'],
    ).default('stale'),
  },
  SECTION,
);
