import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { purgeTrash } from '../storage/blobs/trash.ts';
import { COLLECTING } from '../registry/exclusive.ts';
import type { Registry } from '../registry/registry.ts';
import type { Log } from './observe/log.ts';
import type { OpenRegistry } from './open-registry.ts';
import { startScrubbing } from './scrub-lane.ts';
import { auditTasks } from './task-audit.ts';
import { taskList } from './task-list.ts';
import { TaskRunner } from './tasks.ts';
import { createPace } from './pace.ts';
import { createReadOnly, type ReadOnly } from './read-only.ts';
import { sparingMemory } from './tune-heap.ts';

const SECOND_MS = 1000;
const HOUR_MS = 3600 * SECOND_MS;
const TRASH_KEPT_MS = 24 * HOUR_MS;
const COLLECT_EVERY_MS = 600 * SECOND_MS;
const COLLECT_FOR_MS = 30 * SECOND_MS;
const COMPARE_AGAIN_MS = 60 * SECOND_MS;
// Of the time after which a job is due: timers of several servers do not keep step.
const SOMEBODY_HAS_DONE_IT = 0.9;
const SLOW_COMPARISON_MS = 10 * SECOND_MS;

/** What one process of a server does in the background. */
export interface Jobs {
  /** No job begins any more; one that runs is awaited. */
  stop(): Promise<void>;
}

const COMPARING = 'compare the tree with the index';
const COPYING = 'make deferred copies';

/** Starts comparing the tree with the index at once, and the regular jobs. */
export function startJobs(config: Config, opened: OpenRegistry, log: Log): Jobs {
  const { registry } = opened;
  const { maintenance } = registry;
  const runner = new JobRunner(log);
  // Where several servers work on the store, whose turn comes first does it for all.
  const everyMsOf = (ms: number) => (opened.replica === undefined ? 0 : ms * SOMEBODY_HAS_DONE_IT);
  const ofOne = (ms: number, name: string, job: () => Promise<void>) =>
    runner.every(ms, name, async () => void (await maintenance.exclusively({ name, everyMs: everyMsOf(ms) }, job)));
  if (opened.driver.deferred !== undefined) {
    const resume = () => registry.deferredCopies.resume();
    // What the comparison of a large tree would keep waiting.
    runner.once(COPYING, resume);
    ofOne(60 * SECOND_MS, COPYING, resume);
  }
  runner.once('sum up what quotas are about', () => registry.quotas.prepare(() => runner.breathe()));
  const compare = async () => {
    // A disk that could not be read for a moment must not keep the collection and the backups waiting for the next start.
    if (await maintenance.isTreeVerified()) return;
    await maintenance.exclusively({ name: COMPARING }, () => compareTree(opened, runner, log));
  };
  runner.once(COMPARING, compare);
  runner.every(COMPARE_AGAIN_MS, COMPARING, compare);
  runner.every(10 * SECOND_MS, 'give up failed changes', () => maintenance.giveUpUnsettled());
  ofOne(10 * SECOND_MS, 'compare doubted repositories', async () => {
    await maintenance.verifyDoubted(() => runner.breathe());
  });
  ofOne(60 * SECOND_MS, 'expire uploads', () =>
    removed(log, 'expired uploads were removed', maintenance.expireUploads()),
  );
  ofOne(6 * HOUR_MS, 'remove orphaned stages', () =>
    removed(log, 'staged uploads without a session were removed', maintenance.expireOrphanedStages()),
  );
  ofOne(6 * HOUR_MS, 'remove abandoned writes', () =>
    removed(log, 'writes that were never finished were removed', maintenance.removeAbandoned()),
  );
  ofOne(HOUR_MS, 'look for bytes that no row knows', async () => {
    if (await maintenance.mayHaveUnknownBytes()) await findUnknownBytes(registry, runner, log);
  });
  ofOne(HOUR_MS, 'forget what is kept no more', () => forgetExpired(registry, runner, log));
  if (config.collection.isOn) {
    const readOnly = createReadOnly(opened.metadata.state, config.readOnly);
    runner.every(COLLECT_EVERY_MS, COLLECTING, () =>
      collect(registry, { runner, readOnly, log, everyMs: everyMsOf(COLLECT_EVERY_MS) }),
    );
  }
  ofOne(HOUR_MS, 'let old images go', () => retain(config, opened, runner, log));
  if (config.storage.driver === 'filesystem') {
    const purge = () =>
      removed(
        log,
        'deleted things were taken out of the trash',
        purgeTrash(config.root, Date.now() - TRASH_KEPT_MS, () => runner.breathe()),
      );
    runner.once('empty the trash', purge);
    runner.every(HOUR_MS, 'empty the trash', purge);
  }
  const scrubbing = startScrubbing(config, registry, log);
  const tasks = new TaskRunner({
    metadata: opened.metadata,
    tasks: taskList(config, opened, true),
    taker: () => maintenance.taker(),
    log,
    onEnd: auditTasks(config.access, log),
  });
  return { stop: async () => void (await Promise.all([scrubbing.stop(), tasks.stop(), runner.stop()])) };
}

async function compareTree({ registry }: OpenRegistry, runner: JobRunner, log: Log): Promise<void> {
  const { maintenance } = registry;
  const startedAt = performance.now();
  const { repositories, failed } = await maintenance.verifyTree(() => runner.breathe());
  // Nobody waited for it in a small store, and a start says one line.
  const isNews = performance.now() - startedAt > SLOW_COMPARISON_MS;
  if (failed === 0) log[isNews ? 'info' : 'debug']('the index agrees with the tree', { repositories });
  await removed(log, 'staged uploads without a session were removed', maintenance.expireOrphanedStages());
  // Somebody else may have been here; and what a crash left behind, no link leads to.
  await findUnknownBytes(registry, runner, log);
}

async function retain(
  config: Config,
  { registry, metadata }: OpenRegistry,
  runner: JobRunner,
  log: Log,
): Promise<void> {
  const { retention } = registry;
  const readOnly = createReadOnly(metadata.state, config.readOnly);
  if ((await readOnly.get()) || (await retention.refusal()) !== undefined) return;
  const retained = await sparingMemory(() =>
    retention.run(async () => {
      await runner.breathe();
      return !(await readOnly.get());
    }),
  );
  if (retained.tags + retained.manifests + retained.failed > 0) log.info('old images were removed', { ...retained });
}

async function forgetExpired({ undo }: Registry, runner: JobRunner, log: Log): Promise<void> {
  await removed(
    log,
    'deleted manifests can be brought back no more',
    undo.expire(() => runner.breathe()),
  );
}

interface CollectingParts {
  readonly runner: JobRunner;
  readonly readOnly: ReadOnly;
  readonly log: Log;
  /** Not when somebody has done it within that time. */
  readonly everyMs: number;
}

async function collect(registry: Registry, parts: CollectingParts): Promise<void> {
  const { runner, readOnly, log, everyMs } = parts;
  await forgetExpired(registry, runner, log);
  // What the last round did stays to be seen.
  if (await readOnly.get()) return;
  const end = performance.now() + COLLECT_FOR_MS;
  const pace = createPace();
  let isCutShort = false;
  const collected = await registry.collection.runUnlessDone(everyMs, async () => {
    await pace();
    await runner.breathe();
    isCutShort = performance.now() >= end;
    // Who wants no changes wants none; and other jobs wait for this one.
    return !isCutShort && !(await readOnly.get());
  });
  // They have their turn before it goes on.
  if (isCutShort) runner.once(COLLECTING, () => collect(registry, { ...parts, everyMs: 0 }));
  if (collected === undefined) return;
  if (typeof collected === 'string') log.warn('no garbage is collected now', { reason: collected });
  else if (collected.removed + collected.unlinked + collected.failed > 0) {
    log.info('blobs that nothing needs were removed', { ...collected });
  }
}

async function findUnknownBytes({ maintenance }: Registry, runner: JobRunner, log: Log): Promise<void> {
  let last = performance.now();
  const { found, bytes } = await maintenance.findUnknownBytes(async () => {
    // Nobody waits for it: half of the time belongs to the requests alone.
    await delay(performance.now() - last);
    await runner.breathe();
    last = performance.now();
  });
  if (found > 0) log.info('bytes were found that no row knew, they go unless something needs them', { found, bytes });
}

async function removed(log: Log, message: string, count: Promise<number>): Promise<void> {
  const number = await count;
  if (number > 0) log.info(message, { number });
}

class JobsStopped extends Error {}

/** One job at a time: they share a disk with the requests. */
class JobRunner implements Jobs {
  readonly #log: Log;
  readonly #timers: NodeJS.Timeout[] = [];
  #queue: Promise<void> = Promise.resolve();
  #isStopped = false;

  constructor(log: Log) {
    this.#log = log;
  }

  once(name: string, job: () => Promise<void>): void {
    this.#queue = this.#queue.then(async () => {
      if (this.#isStopped) return;
      try {
        await job();
      } catch (error) {
        if (!(error instanceof JobsStopped)) this.#log.warn('a background job failed', { job: name, err: error });
      }
    });
  }

  every(ms: number, name: string, job: () => Promise<void>): void {
    let isWaiting = false;
    const timer = setInterval(() => {
      // One that takes longer than its interval does not pile up.
      if (isWaiting) return;
      isWaiting = true;
      this.once(name, async () => {
        isWaiting = false;
        await job();
      });
    }, ms);
    this.#timers.push(timer.unref());
  }

  /** Lets requests have their turn; ends a long job when the server stops. */
  async breathe(): Promise<void> {
    await nextTurn();
    if (this.#isStopped) throw new JobsStopped();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    await this.#queue;
  }
}
