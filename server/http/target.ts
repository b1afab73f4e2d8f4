import { RegistryError } from '../../oci/errors.ts';

/** A request target in origin form (RFC 9112 section 3.2.1), taken apart but not changed. */
export interface Target {
  /** Raw: with its percent-encodings. */
  readonly path: string;
  readonly query: URLSearchParams;
}

const NO_QUERY = new URLSearchParams();

/**
 * Splits a raw target.
 *
 * Paths are matched as they came: what another server would clean up (`..`, `//`, an encoded slash) is refused, so that
 * no two components ever disagree about which resource is meant.
 *
 * @throws RegistryError `NAME_INVALID` (400) that names what is not allowed
 */
export function parseTarget(raw: string): Target {
  const question = raw.indexOf('?');
  const path = question === -1 ? raw : raw.slice(0, question);
  const fault = faultOf(path);
  if (fault !== undefined)
    throw new RegistryError('NAME_INVALID', { detail: { path: path.slice(0, 300), reason: fault } });
  return { path, query: question === -1 ? NO_QUERY : new URLSearchParams(raw.slice(question + 1)) };
}

function faultOf(path: string): string | undefined {
  if (!path.startsWith('/')) return 'the request target has to be a path: this server is no proxy';
  if (path.includes('\\')) return 'a path has no backslash';
  if (path.includes('//')) return 'a path has no empty segments';
  if (path.includes('/..') || path.includes('/./') || path.endsWith('/.')) return 'a path has no . or .. segments';
  if (path.includes('%') && /%(?:2f|5c|2e|00)/i.test(path)) return 'a path has no encoded slash, backslash, dot or NUL';
  return undefined;
}
