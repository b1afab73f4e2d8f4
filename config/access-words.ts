import type { AccessAction } from './config.ts';

export const ACCESS_ACTIONS: readonly AccessAction[] = ['pull', 'push', 'overwrite', 'delete', 'admin'];

// What a colon after the first word means is said by that word.
const ACCOUNT = /^[^\p{Cc}:*]{1,255}$/u;
// Where it is said that a name follows, it may be a URI.
const NAME = /^[^\p{Cc}*]{1,255}$/u;
const PREFIXED = /^(?:user|group|robot|trust):(.+)$/su;

/** `anonymous`, `authenticated`, `group:NAME`, `robot:NAME`, `trust:NAME`, `user:NAME`, or the bare name of a user. */
export function isWho(text: string): boolean {
  const [, name] = PREFIXED.exec(text) ?? [];
  return name === undefined ? isBareName(text) : NAME.test(name);
}

// What people write for everybody or for nobody, and lists that are none: `user:everyone` is somebody of that name.
const NO_NAMES = [
  'everyone',
  'everybody',
  'all',
  'any',
  'nobody',
  'none',
  'public',
  'guest',
  'anonymous',
  'authenticated',
];

function isBareName(text: string): boolean {
  if (text === 'anonymous' || text === 'authenticated') return true;
  return ACCOUNT.test(text) && !/[\s,]/.test(text) && !NO_NAMES.includes(text.toLowerCase());
}

/** A user in the list of a group, without any word before the name. */
export function isMember(text: string): boolean {
  return NAME.test(text);
}

/** The same with the word before every name. */
export function whoOf(text: string): string {
  return text === 'anonymous' || text === 'authenticated' || PREFIXED.test(text) ? text : `user:${text}`;
}

export function isActionWord(text: string): boolean {
  return text === 'all' || ACCESS_ACTIONS.includes(text as AccessAction);
}

// Each wildcard multiplies the ways in which a name can be looked at.
const WILDCARDS_MAX = 6;

/** A pattern that some repository name can match. */
export function isRepositoryPattern(text: string): boolean {
  return /^(?:[a-z0-9._/*-]|\{user\})+$/.test(text) && !/\/\/|^\/|\/$|\*\*\*/.test(text) && isSimple(text);
}

/** A pattern that some tag can match. */
export function isTagPattern(text: string): boolean {
  return /^(?:[A-Za-z0-9_.*-]|\{user\})+$/.test(text) && !text.includes('**') && isSimple(text);
}

/** The same where nobody asks. */
export function isPlainRepositoryPattern(text: string): boolean {
  return isRepositoryPattern(text) && !text.includes('{');
}

export function isPlainTagPattern(text: string): boolean {
  return isTagPattern(text) && !text.includes('{');
}

function isSimple(text: string): boolean {
  return text.length <= 300 && (text.match(/\*+/g) ?? []).length <= WILDCARDS_MAX;
}

/** Rather than a file. */
export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

/** `https://...`; plain HTTP for this machine alone, because whoever is on the way could put in keys of his own. */
export function isSecureUrl(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || !isUrl(text) || url.username !== '' || url.password !== '' || url.hash !== '') return false;
  return url.protocol === 'https:' || ['127.0.0.1', 'localhost', '[::1]'].includes(url.hostname);
}

/** Rather than a file. */
export function isStream(text: string): text is 'stdout' | 'stderr' {
  return text === 'stdout' || text === 'stderr';
}
