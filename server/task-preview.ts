import { isPlainRepositoryPattern } from '../config/access-words.ts';
import type { RepositoryPreview } from '../registry/retention/retention.ts';
import { countOf, isSameRules, rulesGiven } from './given-rules.ts';
import type { OpenRegistry } from './open-registry.ts';
import { TaskRefused, type Task } from './tasks.ts';

/** How much one preview shows, at most: a report that nobody can read is of no use to anybody. */
const SHOWN_MAX = 20_000;

/**
 * `retention preview`, of repositories that fit `{pattern}`: what becomes of each tag and untagged manifest and why, and
 * how many bytes the whole frees; by the rules `{retention}` of whoever asks, or else those in force. Says how many `rules`
 * there are, and whether they are `inForce`.
 */
export function previewTask({ registry }: OpenRegistry): Task {
  return async ({ pattern = '**', ...argument }, { breathe, report }) => {
    if (typeof pattern !== 'string' || !isPlainRepositoryPattern(pattern)) {
      throw new TaskRefused(`${JSON.stringify(pattern)} is no pattern of repositories, such as team/**`);
    }
    const inForce = registry.retention.rules;
    const rules = rulesGiven(argument) ?? inForce;
    await registry.maintenance.verifyTree(breathe);
    const freed = registry.retention.freedBytes();
    const repositories = [];
    let left = SHOWN_MAX;
    const sum = { tags: 0, manifests: 0 };
    for await (const preview of registry.retention.preview(pattern, breathe, rules)) {
      await freed.add(
        preview.manifests.map(({ id }) => id),
        breathe,
      );
      sum.tags += preview.tags.filter(({ goes }) => goes).length;
      sum.manifests += preview.manifests.length;
      repositories.push(cut(preview, left));
      left -= Math.min(left, preview.tags.length + preview.untagged.length);
      report(sum);
    }
    const about = { rules: countOf(rules), inForce: isSameRules(rules, inForce) };
    return { repositories, ...sum, bytes: freed.bytes, isComplete: left > 0, ...about };
  };
}

/** What goes comes first, in case not all can be shown. */
function cut({ repository, tags, untagged, manifests }: RepositoryPreview, left: number) {
  const shownTags = goingFirst(tags).slice(0, left);
  return {
    repository,
    tags: shownTags,
    untagged: goingFirst(untagged).slice(0, left - shownTags.length),
    manifests: manifests.length,
  };
}

function goingFirst<T extends { readonly goes: boolean }>(all: readonly T[]): readonly T[] {
  return all.toSorted((a, b) => Number(b.goes) - Number(a.goes));
}
