import type { Adoption } from '../adoption.ts';
import type { Context } from '../context.ts';
import { isForDamagedManifest } from '../hold-reasons.ts';
import type { Maintenance } from '../maintenance.ts';
import { REPOSITORIES_PREFIX } from '../../storage/layout.ts';
import type { CollectionHold } from '../../storage/metadata/collection-holds.ts';
import { isRepositoryName, type RepositoryName } from '../../oci/names.ts';
import { BlobCheck } from './blobs.ts';
import { Report, type FsckReport } from './report.ts';
import { RepositoryCheck } from './repository.ts';
import { checkRows } from './rows.ts';
import type { FsckOptions, Scope } from './scope.ts';
import { unreadable } from './unreadable.ts';

const PAGE = 100;

export interface FsckParts {
  readonly context: Context;
  readonly adoption: Adoption;
  readonly maintenance: Pick<Maintenance, 'orphanedStages' | 'expireOrphanedStages'>;
}

/** What a check is asked for, and who hears how far it is. */
export interface FsckRequest extends FsckOptions {
  readonly tell: (progress: Readonly<Record<string, number>>) => void;
}

/**
 * Holds the whole tree against the whole index, both ways, while everything is served.
 *
 * One repository at a time, then the blobs by the first digits of their digests: memory does not grow with the store.
 * What differs is looked at again with its locks before it counts, because others push, delete and collect meanwhile.
 */
export async function runFsck(
  { context, adoption, maintenance }: FsckParts,
  request: FsckRequest,
): Promise<FsckReport> {
  const report = new Report();
  // One that comes meanwhile may be about what was looked at before.
  const heldBefore = await context.metadata.holds.list();
  const pause = async () => {
    request.tell(report.progress());
    await request.pause();
  };
  const scope: Scope = { ...request, pause, context, adoption, report };
  await foreignNames(scope);
  await checkRows(scope);
  for await (const name of repositories(scope)) await new RepositoryCheck(scope, name).run();
  await new BlobCheck(scope).run();
  await checkStages(scope, maintenance);
  return report.result(await checkHolds(scope, heldBefore));
}

/** Those of the index, then those that are in the tree alone. */
async function* repositories({ context, adoption, report }: Scope): AsyncGenerator<RepositoryName> {
  const { metadata } = context;
  for (let after = ''; ;) {
    const names = await metadata.repositories.page(after, PAGE);
    yield* names;
    if (names.length < PAGE) break;
    after = names.at(-1) ?? after;
  }
  try {
    for await (const name of adoption.tree.repositories()) {
      if ((await metadata.repositories.find(name)) === undefined) yield name;
    }
  } catch (error) {
    report.add('unreadable', { detail: `repositories that the index does not know: ${unreadable(error).message}` });
  }
}

async function foreignNames({ context, report }: Scope): Promise<void> {
  for await (const { name, isPrefix } of context.driver.list(REPOSITORIES_PREFIX)) {
    if (!isPrefix || !isRepositoryName(name)) report.add('foreign-file', { path: `${REPOSITORIES_PREFIX}/${name}` });
  }
}

async function checkStages(
  { report, isRepairing, pause }: Scope,
  maintenance: FsckParts['maintenance'],
): Promise<void> {
  try {
    for await (const { name, id } of maintenance.orphanedStages()) {
      report.add('stage-orphan', { repository: name, detail: `upload ${id}` }, isRepairing);
      await pause();
    }
  } catch (error) {
    report.add('unreadable', { detail: `uploads: ${unreadable(error).message}` });
  }
  if (isRepairing && report.count('stage-orphan') > 0) await maintenance.expireOrphanedStages();
}

/** The collection waits for no manifest any more when all manifests are known again. */
async function checkHolds(
  { context, report, isRepairing }: Scope,
  before: readonly CollectionHold[],
): Promise<Pick<FsckReport, 'collectionHolds' | 'releasedHolds'>> {
  const { holds } = context.metadata;
  const isOver = isRepairing && report.count('manifest-lost') === 0 && report.isAllRepaired;
  const over = before.filter(({ by, reason }) => by === undefined && isForDamagedManifest(reason));
  const released = isOver ? await holds.release(over.map(({ id }) => id)) : [];
  return { collectionHolds: reasonsOf(await holds.list()), releasedHolds: reasonsOf(released) };
}

function reasonsOf(holds: readonly CollectionHold[]): readonly string[] {
  return holds.map(({ reason }) => reason);
}
