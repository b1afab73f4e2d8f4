import type { PastChange, PastDigest } from '../registry/tag-history.ts';

/** A change of a tag as reports have it, in JSON: times by RFC 3339, null for what is not there. */
export function shownChange({ id, changedAt, from, to, cause }: PastChange): Readonly<Record<string, unknown>> {
  return {
    id,
    changedAt: new Date(changedAt).toISOString(),
    from: shownDigest(from),
    to: shownDigest(to),
    cause: cause ?? null,
  };
}

function shownDigest(past: PastDigest | undefined): object | null {
  if (past === undefined) return null;
  const { digest, state, until } = past;
  return { digest, state, until: until === undefined ? null : new Date(until).toISOString() };
}
