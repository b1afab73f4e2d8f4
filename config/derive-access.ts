import path from 'node:path';
import { ACCESS_ACTIONS, isUrl, whoOf } from './access-words.ts';
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
export function accessConfig(settings: Settings['access'], cwd: string): AccessConfig {
  const { allowAnonymous, htpasswd, audit, challenge, tokenLifetime, groups, rules, trust, issuer } = settings;
  const unset = htpasswd === undefined ? [] : [ACCOUNTS_MAY_ALL];
  return {
    allowAnonymous,
    ...(htpasswd !== undefined && { htpasswd: path.resolve(cwd, htpasswd) }),
    ...(audit !== undefined && { audit: path.resolve(cwd, audit) }),
    challenge,
    tokenLifetimeMs: parseDuration(tokenLifetime) ?? 0,
    groups,
    isOpen: !isConfigured(settings),
    rules: rules === undefined ? unset : rules.map(ruleOf),
    trust: trust.map((each) => trustOf(each, cwd)),
    ...issuerOf(issuer, cwd),
  };
}

/** Whether somebody has to show who they are. */
export function isConfigured({ htpasswd, rules, issuer }: Settings['access']): boolean {
  return htpasswd !== undefined || rules !== undefined || issuer.realm !== undefined;
}

function trustOf({ name, issuer, audience, claims, jwks }: Settings['access']['trust'][number], cwd: string) {
  const patterns = Object.entries(claims).map(([claim, value]) => [claim, listOf(value)] as const);
  return { name, issuer, audience, claims: Object.fromEntries(patterns), ...jwksOf(jwks, cwd) };
}

function issuerOf({ realm, service, issuer, certificates, jwks }: Settings['access']['issuer'], cwd: string) {
  if (realm === undefined || service === undefined || issuer === undefined) return {};
  const files = certificates === undefined ? {} : { certificates: path.resolve(cwd, certificates) };
  return { issuer: { realm, service, issuer, ...files, ...jwksOf(jwks, cwd) } };
}

function jwksOf(jwks: string | undefined, cwd: string): { jwks?: string } {
  if (jwks === undefined) return {};
  return { jwks: isUrl(jwks) ? jwks : path.resolve(cwd, jwks) };
}

function ruleOf({ who, actions, repositories, tags, from, until }: Rule): AccessRule {
  const untilMs = until === undefined ? undefined : parseDate(until);
  return {
    who: listOf(who).map(whoOf),
    actions: actionsOf(listOf(actions)),
    repositories: listOf(repositories),
    tags: listOf(tags),
    ...(from !== undefined && { from: listOf(from) }),
    ...(untilMs !== undefined && { untilMs }),
  };
}

/** `all` stands for each. */
export function actionsOf(words: readonly string[]): readonly AccessAction[] {
  return words.flatMap((word) => (word === 'all' ? ACCESS_ACTIONS : [word as AccessAction]));
}

function listOf<T>(value: T | readonly T[]): readonly T[] {
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}
