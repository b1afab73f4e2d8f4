import { RegistryError } from '../../oci/errors.ts';
import { parsePlaceholder, type Action, type Endpoint } from './endpoint.ts';
import type { Target } from './target.ts';

export interface Match {
  readonly endpoint: Endpoint;
  readonly params: Readonly<Record<string, unknown>>;
}

/** The rows that share a path behind `<name>`. */
interface Group {
  /** What stands between `<name>` and the last placeholder, or the whole rest. */
  readonly literal: string;
  readonly placeholder: string | undefined;
  readonly rows: readonly Endpoint[];
}

const NAME_PREFIX = '/v2/<name>';
// Repository names contain slashes, so the last of these words decides where the name ends.
const WORDS = ['/manifests/', '/blobs/', '/tags/', '/referrers/'];

/** Matches targets against a table of endpoints. */
export class Router {
  readonly #fixed = new Map<string, Endpoint[]>();
  readonly #groups: readonly Group[];

  constructor(endpoints: readonly Endpoint[]) {
    const groups = new Map<string, Endpoint[]>();
    for (const row of endpoints) {
      if (row.path.startsWith(NAME_PREFIX)) push(groups, row.path.slice(NAME_PREFIX.length), row);
      else push(this.#fixed, row.path, row);
    }
    // The longest literal first: `/blobs/uploads/<upload>` before `/blobs/<digest>`.
    this.#groups = [...groups].map(groupOf).sort((a, b) => b.literal.length - a.literal.length);
  }

  /**
   * @throws RegistryError of the placeholders' parsers; `UNSUPPORTED` 405 with `Allow`; `NAME_INVALID` 404 when no
   *   endpoint has such a path
   */
  match(method: string, target: Target): Match {
    const fixed = this.#fixed.get(target.path);
    if (fixed !== undefined) return { endpoint: select(fixed, method, target), params: {} };
    const end = nameEnd(target.path);
    if (end > 0) {
      const rest = target.path.slice(end);
      for (const group of this.#groups) {
        if (!fits(group, rest)) continue;
        const endpoint = select(group.rows, method, target);
        return { endpoint, params: paramsOf(group, endpoint.action, target.path.slice('/v2/'.length, end), rest) };
      }
    }
    const reason = 'no endpoint of the distribution-spec has this path';
    throw new RegistryError('NAME_INVALID', { status: 404, detail: { path: target.path.slice(0, 300), reason } });
  }
}

function push(groups: Map<string, Endpoint[]>, key: string, row: Endpoint): void {
  const rows = groups.get(key);
  if (rows === undefined) groups.set(key, [row]);
  else rows.push(row);
}

function groupOf([rest, rows]: [string, Endpoint[]]): Group {
  const bracket = rest.indexOf('<');
  if (bracket === -1) return { literal: rest, placeholder: undefined, rows };
  return { literal: rest.slice(0, bracket), placeholder: rest.slice(bracket + 1, -1), rows };
}

function nameEnd(path: string): number {
  if (!path.startsWith('/v2/')) return -1;
  let end = -1;
  for (const word of WORDS) end = Math.max(end, path.lastIndexOf(word));
  return end;
}

function fits(group: Group, rest: string): boolean {
  if (group.placeholder === undefined) return rest === group.literal;
  return (
    rest.length > group.literal.length && rest.startsWith(group.literal) && !rest.includes('/', group.literal.length)
  );
}

function paramsOf(group: Group, action: Action, name: string, rest: string): Record<string, unknown> {
  const params: Record<string, unknown> = { name: parsePlaceholder('name', name, action) };
  if (group.placeholder !== undefined) {
    params[group.placeholder] = parsePlaceholder(group.placeholder, decode(rest.slice(group.literal.length)), action);
  }
  return params;
}

/** Some clients write the colon of a digest as `%3A`. Nothing else in a last segment needs an encoding. */
function decode(segment: string): string {
  return segment.includes('%') ? segment.replace(/%3a/gi, ':') : segment;
}

function select(rows: readonly Endpoint[], method: string, target: Target): Endpoint {
  for (const row of rows) {
    if (row.methods.includes(method as never) && row.query.every((name) => target.query.has(name))) return row;
  }
  const allow = [...new Set(rows.flatMap((row) => row.methods))].join(', ');
  const reason = `${method.slice(0, 20)} is not possible here, use ${allow}`;
  throw new RegistryError('UNSUPPORTED', { detail: { reason }, headers: { Allow: allow } });
}
