import type { Scope } from './scope.ts';

/** Rows of the index that nothing in the tree speaks of. */
export async function checkRows(scope: Scope): Promise<void> {
  await orphans(scope);
  await quotaSums(scope);
}

/** Somebody or something took away what they belong to. */
async function orphans({ context, report, isRepairing, pause }: Scope): Promise<void> {
  for await (const { rows, owner, repository, remove } of context.metadata.orphanedRows.find(pause)) {
    if (isRepairing) await remove();
    const detail = `${rows} of a ${owner} that is not there`;
    report.add('row-orphaned', { ...(repository !== undefined && { repository }), detail }, isRepairing);
  }
}

/** What a quota for several repositories goes by, held against what these count; `RepositoryCheck` sees whether that is right. */
async function quotaSums({ context, report, isRepairing }: Scope): Promise<void> {
  const { quotas } = context.metadata;
  for (const patterns of await quotas.wrongSums()) {
    const names = (JSON.parse(patterns) as readonly string[]).join(', ');
    report.add('counter-wrong', { detail: `the sum of all repositories that fit ${names}` }, isRepairing);
  }
  // Summed up anew by whoever asks next.
  if (isRepairing) await quotas.forgetOthers([]);
}
