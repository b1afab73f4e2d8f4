import { isDeepStrictEqual } from 'node:util';
import type { RetentionRules } from '../registry/retention/rules.ts';
import type { TaskReport } from './tasks.ts';

/**
 * The rules `{retention}` of whoever asks for a task, which are not those of the server where its file was changed since
 * its start. The command put them there out of a configuration that has no fault.
 */
export function rulesGiven({ retention }: TaskReport): RetentionRules | undefined {
  return retention as RetentionRules | undefined;
}

/** Either may have been JSON. */
export function isSameRules(a: RetentionRules, b: RetentionRules): boolean {
  return isDeepStrictEqual(plain(a), plain(b));
}

function plain({ tags, untagged, expiryLabels }: RetentionRules): unknown {
  return JSON.parse(JSON.stringify({ tags, untagged, expiryLabels }));
}

export function countOf({ tags, untagged }: RetentionRules): number {
  return tags.length + untagged.length;
}
