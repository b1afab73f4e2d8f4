import type { Transaction } from '../../storage/metadata/database.ts';
import type { RepositoryName } from '../../oci/names.ts';
import { changing, type Subject } from '../intents.ts';
import { applyObservations, isAnyBeingDeleted, observe, type Observation } from '../observations.ts';
import type { About, FindingKind } from './finding.ts';
import type { Scope } from './scope.ts';
import { unreadable } from './unreadable.ts';

/** Something that is wrong with an object of a repository, and how to put it right. */
export interface Fault {
  readonly kind: FindingKind;
  readonly detail?: string;
  /** Changes the tree first; the index follows what is there then. */
  readonly fixTree?: () => Promise<void>;
  /** Instead, without the locks of the repository. @returns whether it is put right */
  readonly fixBytes?: () => Promise<boolean>;
  /** Nothing can put it right. */
  readonly isFinal?: boolean;
}

/**
 * Looks at an object, and once more with its locks held: what is being changed is no fault. Puts it right where that is
 * wanted, in the same change.
 */
export async function settle(
  scope: Scope,
  name: RepositoryName,
  subject: Subject,
  look: () => Promise<Fault | undefined>,
  about: About,
  isSilent: (kind: FindingKind) => boolean,
): Promise<void> {
  const judge = () => judgeReadable(look);
  if ((await judge()) === undefined) return;
  const { context, adoption, report, isRepairing } = scope;
  const isBlocked = (tx: Transaction) => isAnyBeingDeleted(context, tx, [subject]);
  const seen = await changing(context, { name, subjects: [subject], isBlocked }, async (held) => {
    const fault = await judge();
    const isFixedHere = isRepairing && fault !== undefined && fault.isFinal !== true && fault.fixBytes === undefined;
    if (!isFixedHere) {
      await held.finish('relaxed', async () => {});
      return { fault, isRepaired: false };
    }
    await fault.fixTree?.();
    const observations: readonly Observation[] = await observe(adoption.tree, name, subject);
    const run = await adoption.runForNew(name);
    await held.finish('durable', (tx) => applyObservations(context, tx, name, run, observations));
    return { fault, isRepaired: true };
  });
  if (seen.fault === undefined) return;
  const { kind, detail, fixBytes } = seen.fault;
  const isRepaired = seen.isRepaired || (isRepairing && fixBytes !== undefined && (await fixBytes()));
  if (!isSilent(kind)) report.add(kind, { ...about, ...(detail !== undefined && { detail }) }, isRepaired);
  // Its bytes are right now; whether the rows are, can be seen only now.
  if (isRepaired && !seen.isRepaired) await settle(scope, name, subject, look, about, isSilent);
}

/** What cannot be read is told like everything else, and keeps nobody from the rest. */
async function judgeReadable(look: () => Promise<Fault | undefined>): Promise<Fault | undefined> {
  try {
    return await look();
  } catch (error) {
    return { kind: 'unreadable', detail: unreadable(error).message, isFinal: true };
  }
}
