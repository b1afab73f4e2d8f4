import type { Digest } from '../../oci/digest.ts';
import { isRepositoryName, type Reference, type RepositoryName } from '../../oci/names.ts';
import type { Endpoint } from '../http/endpoint.ts';
import type { Target } from '../http/target.ts';

/** What a token can be asked for; `overwrite` is a matter of `push` and of the rules. */
export const SCOPE_ACTIONS = ['pull', 'push', 'delete'] as const;

export type ScopeAction = (typeof SCOPE_ACTIONS)[number];

/** `repository:<name>:<actions>`, or `registry:catalog:*` and `registry:admin:*`. */
export type Scope =
  | { readonly type: 'repository'; readonly name: RepositoryName; readonly actions: readonly ScopeAction[] }
  | { readonly type: 'registry'; readonly name: 'catalog' | 'admin' };

/** What the placeholders of an endpoint's path stand for, as far as access asks for it. */
export interface Touched {
  readonly name?: RepositoryName;
  readonly 'tag-or-digest'?: Reference;
  readonly digest?: Digest;
}

// An image with its source, a few times over; every scope costs a look at the rules and at the index.
// A token with as many of the longest names is as long as a token may be.
const SCOPES_MAX = 30;

/**
 * Parses the `scope` parameters of a token request: several, each of which may hold several, separated by spaces. What
 * this registry does not know is passed over, as the protocol wants it: the token then does not grant it.
 */
export function parseScopes(parameters: readonly string[]): readonly Scope[] {
  const words = parameters.flatMap((parameter) => parameter.split(' ')).filter((word) => word !== '');
  return words.slice(0, SCOPES_MAX).flatMap(parseScope);
}

/** One scope; nothing for what this registry does not know. */
export function parseScope(text: string): Scope[] {
  const [first, last] = [text.indexOf(':'), text.lastIndexOf(':')];
  if (first < 0 || first === last) return [];
  const [type, name, actions] = [text.slice(0, first), text.slice(first + 1, last), text.slice(last + 1).split(',')];
  if (type === 'registry') {
    const isKnown = name === 'catalog' || name === 'admin';
    return isKnown ? [{ type, name }] : [];
  }
  // Docker marks images so: `repository(plugin)`.
  if (!/^repository(?:\([a-z0-9-]*\))?$/.test(type) || !isRepositoryName(name)) return [];
  const wanted = SCOPE_ACTIONS.filter((action) => actions.includes(action) || actions.includes('*'));
  return wanted.length === 0 ? [] : [{ type: 'repository', name, actions: wanted }];
}

/** The scope that a request needs, for the challenge; undefined where a login alone is enough. */
export function scopeOf({ action }: Endpoint, { name }: Touched, query: Target['query']): string | undefined {
  if (action === 'none') return undefined;
  if (action === 'catalog') return 'registry:catalog:*';
  if (action !== 'push') return `repository:${name}:${action}`;
  // Clients ask for both: they look before they push.
  const target = `repository:${name}:pull,push`;
  const from = query.has('mount') ? (query.get('from') ?? '') : '';
  return isRepositoryName(from) && from !== name ? `${target} repository:${from}:pull` : target;
}
