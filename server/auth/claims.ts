import { createGlob } from '../../registry/glob.ts';
import type { Claims } from './strict-jwt.ts';

/** What of a token's claims is not as it is asked for, in words; undefined when all is. */
export type ClaimCheck = (claims: Claims) => string | undefined;

// Of what somebody wrote into a token.
const SHOWN_MAX = 200;

/**
 * @param patterns what each claim has to be, or one of several: `*` stands for anything without a slash, `**` for
 *   anything. A claim that is a list fits when one of its entries does. A dot leads into an object
 *   (`kubernetes.io.namespace` is the member `namespace` of `kubernetes.io`), because Kubernetes nests its own.
 */
export function createClaimCheck(patterns: Readonly<Record<string, readonly string[]>>): ClaimCheck {
  const wanted = Object.entries(patterns).map(([name, texts]) => ({ name, texts, globs: texts.map(createGlob) }));
  return (claims) => {
    for (const { name, texts, globs } of wanted) {
      const found = textsOf(claimAt(claims, name));
      if (found.some((text) => globs.some((glob) => glob(text, undefined)))) continue;
      const shown = found.length === 0 ? 'missing' : JSON.stringify(found.join(', ').slice(0, SHOWN_MAX));
      return `the claim ${name} is ${shown} and does not fit ${texts.join(' or ')}`;
    }
    return undefined;
  };
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
