import path from 'node:path';
import { ACCESS_ACTIONS, isStream, isUrl, whoOf } from './access-words.ts';
import type { AccessAction, AccessConfig, AccessRule } from './config.ts';
import { parseDate } from './date.ts';
import { parseDuration } from './quantity.ts';
import type { Settings } from './schema.ts';

type Rule = NonNullable<Settings['access']['rules']>[number];

/** Whoever has an account, or a certificate, may do everything. */
const USERS_MAY_ALL: AccessRule = {
  who: ['authenticated'],
  actions: ACCESS_ACTIONS,
  repositories: ['**'],
  tags: ['*'],
};

/** What follows from the settings of access without a fault. */
export function accessConfig(settings: Pick<Settings, 'access' | 'http'>, cwd: string): AccessConfig {
  const { access, http } = settings;
  const { allowAnonymous, htpasswd, certificateUser, audit, challenge, tokenLifetime } = access;
  const takesCertificates = http.tls.clientAuthorities !== undefined;
  const unset = htpasswd === undefined && !takesCertificates ? [] : [USERS_MAY_ALL];
  return {
    allowAnonymous,
    ...(htpasswd !== undefined && { htpasswd: path.resolve(cwd, htpasswd) }),
    ...(takesCertificates && { certificateUser }),
    ...(audit !== undefined && { audit: isStream(audit) ? audit : path.resolve(cwd, audit) }),
    challenge,
    tokenLifetimeMs: parseDuration(tokenLifetime) ?? 0,
    groups: access.groups,
    isOpen: closingKeys(settings).length === 0,
    rules: access.rules === undefined ? unset : access.rules.map(ruleOf),
    trust: access.trust.map((each) => trustOf(each, cwd)),
    ...issuerOf(access.issuer, cwd),
  };
}

/** The keys that are set, and of which each makes somebody show who they are. */
export function closingKeys({ access, http: { tls } }: Pick<Settings, 'access' | 'http'>): readonly string[] {
  const closing = {
    'access.rules': access.rules,
    'access.htpasswd': access.htpasswd,
    'access.issuer.realm': access.issuer.realm,
    'http.tls.clientAuthorities': tls.clientAuthorities,
  };
  return Object.entries(closing).flatMap(([key, value]) => (value === undefined ? [] : [key]));
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
