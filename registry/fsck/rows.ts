import type { Scope } from './scope.ts';
import type { OrphanedRows } from '../../storage/metadata/check.ts';
import type { Value } from '../../storage/metadata/database.ts';

const PAGE = 500;

/** Rows that belong to nothing: somebody or something took away those that they belong to. */
export async function checkRows(scope: Scope): Promise<void> {
  await repositoriesGone(scope);
  await manifestsGone(scope);
  const { repositories } = scope.context.metadata;
  for (let after = ''; ;) {
    const names = await repositories.page(after, PAGE);
    for (const name of names) {
      const id = (await repositories.find(name))?.id;
      if (id === undefined) continue;
      await dangling(scope, 'repository_blob', id, `links of ${name} to blobs`);
      await dangling(scope, 'tag', id, `tags of ${name}`);
    }
    if (names.length < PAGE) break;
    after = names.at(-1) ?? after;
  }
  await quotaSums(scope);
}

/** What a quota for several repositories goes by, held against what these count; the next check of each says whether that is right. */
async function quotaSums({ context, report, isRepairing }: Scope): Promise<void> {
  const { quotas } = context.metadata;
  for (const patterns of await quotas.wrongSums()) {
    const names = (JSON.parse(patterns) as readonly string[]).join(', ');
    report.add('counter-wrong', { detail: `the sum of all repositories that fit ${names}` }, isRepairing);
  }
  // Summed up anew by whoever asks next.
  if (isRepairing) await quotas.forgetOthers([]);
}

async function repositoriesGone({ context, report, isRepairing, pause }: Scope): Promise<void> {
  const { check } = context.metadata;
  for (let at: OrphanedRows | undefined; ;) {
    at = await check.orphanedRows(at);
    if (at === undefined) return;
    const isRepaired = isRepairing && (await check.removeOrphanedRows(at)) > 0;
    report.add('row-orphaned', { detail: `rows of ${at.table} of a repository that is not there` }, isRepaired);
    await pause();
  }
}

async function manifestsGone({ context, report, isRepairing, pause }: Scope): Promise<void> {
  const { check } = context.metadata;
  for (let after: Value | undefined = -1; after !== undefined;) {
    const { dangling: gone, last } = await check.danglingReferences(after);
    for (const id of gone) if (isRepairing) await check.removeDanglingReferences(id);
    if (gone.length > 0) {
      report.add('row-orphaned', { detail: `what ${gone.length} manifests refer to that are not there` }, isRepairing);
    }
    after = last;
    await pause();
  }
}

async function dangling(
  { context, report, isRepairing, pause }: Scope,
  table: 'repository_blob' | 'tag',
  repositoryId: number,
  what: string,
): Promise<void> {
  const { check } = context.metadata;
  for (let after: Value | undefined = table === 'tag' ? '' : -1; after !== undefined;) {
    const { dangling: gone, last } = await check.danglingRows(table, repositoryId, after);
    for (const name of gone) if (isRepairing) await check.removeDanglingRow(table, repositoryId, name);
    if (gone.length > 0)
      report.add('row-orphaned', { detail: `${gone.length} ${what} that are not there` }, isRepairing);
    after = last;
    await pause();
  }
}
