import { RegistryError } from '../../oci/errors.ts';

export interface Page {
  /** How many entries are wanted; 0 is possible. */
  readonly limit: number;
  /** The last entry of the page before; empty at the beginning. It need not exist. */
  readonly last: string;
}

/**
 * `n` and `last` (end-8b).
 *
 * @param defaults `limit` without `n`; a larger `n` than `max` gives `max` and a `Link`
 * @throws RegistryError `UNSUPPORTED` (400) when `n` is no number
 */
export function parsePage(query: URLSearchParams, defaults: { limit: number; max: number }): Page {
  const n = query.get('n');
  const last = query.get('last') ?? '';
  if (n === null) return { limit: defaults.limit, last };
  if (!/^\d+$/.test(n)) {
    const reason = 'n is the number of entries wanted: 0 or a positive whole number';
    throw new RegistryError('UNSUPPORTED', { status: 400, detail: { n: n.slice(0, 100), reason } });
  }
  return { limit: Math.min(Number(n), defaults.max), last };
}

/** A `Link` header to the next page (RFC 8288). `path` is one of ours and needs no encoding. */
export function nextLink(path: string, query: Readonly<Record<string, string>>): string {
  return `<${path}?${new URLSearchParams(query).toString()}>; rel="next"`;
}
