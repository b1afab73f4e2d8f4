import { createGlob } from './glob.ts';
import type { Claims } from './strict-jwt.ts';

/** Whether a token's claims are those that are asked for. */
export type ClaimMatcher = (claims: Claims) => boolean;

/**
 * @param patterns what each claim has to be, or one of several: `*` stands for anything without a slash, `**` for
 *   anything. A claim that is a list fits when one of its entries does. A dot leads into an object
 *   (`kubernetes.io.namespace` is the member `namespace` of `kubernetes.io`), because Kubernetes nests its own.
 */
export function createClaimMatcher(patterns: Readonly<Record<string, readonly string[]>>): ClaimMatcher {
  const wanted = Object.entries(patterns).map(([name, texts]) => ({ name, globs: texts.map(createGlob) }));
  return (claims) =>
    wanted.every(({ name, globs }) =>
      textsOf(claimAt(claims, name)).some((text) => globs.some((glob) => glob(text, undefined))),
    );
}

/** The longest name that is there goes first: names of claims have dots themselves. */
function claimAt(value: unknown, path: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  if (Object.hasOwn(value, path)) return (value as Record<string, unknown>)[path];
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const name = path.slice(0, dot);
    if (!Object.hasOwn(value, name)) continue;
    const found = claimAt((value as Record<string, unknown>)[name], path.slice(dot + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}

function textsOf(value: unknown): readonly string[] {
  const values: readonly unknown[] = Array.isArray(value) ? value : [value];
  return values.flatMap((each) => (['string', 'number', 'boolean'].includes(typeof each) ? [String(each)] : []));
}
