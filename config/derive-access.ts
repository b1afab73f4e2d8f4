import path from 'node:path';
import { ACCESS_ACTIONS, whoOf } from './access-words.ts';
import type { AccessAction, AccessConfig, AccessRule } from './config.ts';
import { parseDate } from './date.ts';
import { parseDuration } from './quantity.ts';
import type { Settings } from './schema.ts';

type Rule = NonNullable<Settings['access']['rules']>[number];

/** Whoever has an account may do everything. */
const ACCOUNTS_MAY_ALL: AccessRule = {
  who: ['authenticated'],
  actions: ACCESS_ACTIONS,
  repositories: ['**'],
  tags: ['*'],
};

/** What follows from the settings of access without a fault. */
export function accessConfig(
  { allowAnonymous, htpasswd, audit, challenge, tokenLifetime, groups, rules }: Settings['access'],
  cwd: string,
): AccessConfig {
  const unset = htpasswd === undefined ? [] : [ACCOUNTS_MAY_ALL];
  return {
    allowAnonymous,
    ...(htpasswd !== undefined && { htpasswd: path.resolve(cwd, htpasswd) }),
    ...(audit !== undefined && { audit: path.resolve(cwd, audit) }),
    challenge,
    tokenLifetimeMs: parseDuration(tokenLifetime) ?? 0,
    groups,
    rules: rules === undefined ? unset : rules.map(ruleOf),
  };
}

function ruleOf({ who, actions, repositories, tags, from, until }: Rule): AccessRule {
  const untilMs = until === undefined ? undefined : parseDate(until);
  return {
    who: listOf(who).map(whoOf),
    actions: listOf(actions).flatMap((word) => (word === 'all' ? ACCESS_ACTIONS : [word as AccessAction])),
    repositories: listOf(repositories),
    tags: listOf(tags),
    ...(from !== undefined && { from: listOf(from) }),
    ...(untilMs !== undefined && { untilMs }),
  };
}

function listOf<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
