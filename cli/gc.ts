import type { Config } from '../config/config.ts';
import { readConfig, type ConfigInput } from '../config/load.ts';
import type { LastRound } from '../registry/collection.ts';
import { refuseBackup } from '../server/root-marks.ts';
import type { TaskReport } from '../server/tasks.ts';
import type { Garbage } from '../storage/metadata/collection.ts';
import { audited } from './audited.ts';
import { durationOf, minuteOf } from './columns.ts';
import { describeHolds, holdCollection, releaseCollection, shownHold } from './gc-holds.ts';
import { createProgress } from './progress.ts';
import { runTaskOf } from './task.ts';
import { CommandFault, print, refuseMore, UsageError, type Values } from './usage.ts';
import { withIndex } from './with-index.ts';

const PAGE = 1_000;
// Digests, a reason, the holds to be released.
const TAKING_MORE: ReadonlySet<string> = new Set(['undo', 'hold', 'release']);
const VERBS = ['status', 'plan', 'run', 'undo', 'hold', 'release'] as const;

/** `entrepot gc`. */
export async function gcCommand(
  input: ConfigInput,
  [verb, ...rest]: readonly string[],
  values: Values,
): Promise<number> {
  const known = VERBS.find((each) => each === verb);
  if (known === undefined) throw new UsageError(`gc has these verbs: ${VERBS.join(', ')}.`);
  if (!TAKING_MORE.has(known)) refuseMore(`gc ${known}`, rest);
  const config = await readConfig(input, { allowExposed: true });
  if (config.storage.driver !== 'memory') refuseBackup(config.root);
  if (known === 'undo') return print(await recoverBlobs(config, rest, values));
  if (known === 'status') return print(await describeCollection(config, values));
  if (known === 'plan') return print(await planCollection(config, values));
  if (known === 'run') return runCollection(config, values);
  const work = () => (known === 'hold' ? holdCollection(config, rest) : releaseCollection(config, rest));
  return print(await audited(config, { subject: ['gc', known, ...rest].join(' ') }, work));
}

/** A round of the collection now, by the server that runs or by this process. @returns 1 when something could not be removed */
async function runCollection(config: Config, { json = false }: Values): Promise<number> {
  const outcome = await runTaskOf(config, 'collect', {}, createProgress('collecting'));
  const { removed, bytes, unlinked, failed } = outcome;
  print(json ? JSON.stringify(outcome) : describeOutcome(config, { removed, bytes, unlinked, failed }));
  return failed === 0 ? 0 : 1;
}

function describeOutcome(config: Config, { removed, bytes, unlinked, failed }: TaskReport): string {
  return [
    `${String(removed)} blobs removed, ${String(bytes)} bytes; ${String(unlinked)} links`,
    ...(removed === 0 || config.storage.driver === 's3'
      ? []
      : ['their bytes lie in .meta/trash for a day: "entrepot gc undo" brings them back']),
    ...(failed === 0 ? [] : [`${String(failed)} could not be removed: the log says why`]),
  ].join('\n');
}

/** Blobs out of the trash, all or those named. */
async function recoverBlobs(config: Config, digests: readonly string[], { json = false }: Values): Promise<string> {
  if (config.storage.driver === 's3') {
    throw new CommandFault(
      'a bucket has no trash: what was removed from it is gone, unless the bucket keeps versions; "entrepot tag restore" ' +
        'brings back what was deleted and not removed yet',
    );
  }
  const outcome = await runTaskOf(config, 'recover', { digests }, createProgress('bringing back'));
  if (json) return JSON.stringify(outcome);
  const { recovered, bytes, linked, damaged } = outcome as { damaged: readonly string[] } & Record<string, unknown>;
  return [
    `${String(recovered)} blobs brought back, ${String(bytes)} bytes; ${String(linked)} links of repositories`,
    ...damaged.map((digest) => `${digest} is damaged, and stays in the trash`),
  ].join('\n');
}

/** Whether it collects, what it waits for, and what it did last. */
async function describeCollection(config: Config, { json = false }: Values): Promise<string> {
  const { isOn, graceMs, undoMs } = config.collection;
  return withIndex(config, async ({ collection, holds, pauses, state, tasks }) => {
    const [held, run, last] = [await holds.list(), await state.get('verified-run'), await state.get('collection-last')];
    const isKnown = run !== undefined && (await collection.isWholeTreeKnown(run));
    const isPaused = await pauses.isPaused(Date.now());
    const isReadOnly = config.readOnly || (await state.get('read-only')) === 'on';
    const waits =
      (isReadOnly ? 'the registry is read-only' : undefined) ??
      (isPaused ? 'a backup is being made' : undefined) ??
      (isKnown ? undefined : 'the tree is not compared with the index yet, or again');
    const running = (await tasks.list(10)).find(({ kind, endedAt }) => kind === 'collect' && endedAt === undefined);
    const queued = await collection.length();
    const round = last === undefined ? undefined : (JSON.parse(last) as LastRound);
    if (json) {
      const refusal = (await holds.because()) ?? waits;
      const report = { enabled: isOn, graceMs, undoMs, refusal, holds: held.map(shownHold), queued };
      return JSON.stringify({ ...report, last: round, task: running?.id });
    }
    return [
      isOn ? 'on: every ten minutes' : 'off: collection.enabled is false; "entrepot gc run" does it all the same',
      ...(waits === undefined ? [] : [`nothing is removed now: ${waits}`]),
      ...describeHolds(held),
      ...(running === undefined ? [] : [`running now, as task ${running.id}`]),
      `${queued} digests to look at; nothing goes before it was unused for ${durationOf(graceMs)}`,
      round === undefined ? 'no round yet' : describeRound(round),
    ].join('\n');
  });
}

function describeRound({ endedAt, examined, removed, bytes, failed }: LastRound): string {
  const failures = failed === 0 ? '' : `, ${failed} could not be removed`;
  return `last round ended ${minuteOf(Date.parse(endedAt))} UTC: ${examined} looked at, ${removed} removed, ${bytes} bytes${failures}`;
}

/**
 * Says what nothing needs, how large it is and when it goes. Beside a running server or without one.
 *
 * @returns what to tell the person; as JSON, a line for each blob
 * @throws CommandFault
 */
async function planCollection(config: Config, { json = false }: Values): Promise<string> {
  const { isOn, graceMs } = config.collection;
  return withIndex(config, async ({ collection, holds }) => {
    const out = json ? createJsonLines() : createPlanTable();
    let [count, bytes] = [0, 0];
    for (let after = ''; ;) {
      const page = await collection.garbage(after, PAGE);
      for (const garbage of page) out.add(garbage, garbage.since + graceMs);
      count += page.length;
      bytes += page.reduce((sum, { size }) => sum + size, 0);
      if (page.length < PAGE) break;
      after = page.at(-1)?.digest ?? after;
    }
    if (json) return '';
    const notes = [
      ...(isOn ? [] : ['nothing is removed: collection.enabled is false']),
      ...describeHolds(await holds.list()),
    ];
    return [`${count} ${count === 1 ? 'blob' : 'blobs'} that nothing needs, ${bytes} bytes`, ...notes].join('\n');
  });
}

/** Takes what goes as it is found: there may be a million of it. */
interface PlanOutput {
  add(garbage: Garbage, goesFrom: number): void;
}

const DIGEST_WIDTH = 71;
const BYTES_WIDTH = 14;

function createPlanTable(): PlanOutput {
  let isBegun = false;
  return {
    add: ({ digest, size }, goesFrom) => {
      if (!isBegun) writePlanLine('DIGEST', 'BYTES', 'GOES FROM (UTC)');
      isBegun = true;
      writePlanLine(digest, String(size), minuteOf(goesFrom));
    },
  };
}

function writePlanLine(digest: string, bytes: string, time: string): void {
  process.stdout.write(`${digest.padEnd(DIGEST_WIDTH)}  ${bytes.padStart(BYTES_WIDTH)}  ${time}\n`);
}

function createJsonLines(): PlanOutput {
  return {
    add: ({ digest, size }, goesFrom) => {
      const removableFrom = new Date(goesFrom).toISOString();
      process.stdout.write(`${JSON.stringify({ digest, size, removableFrom })}\n`);
    },
  };
}
