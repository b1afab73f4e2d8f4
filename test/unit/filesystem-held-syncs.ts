import fs from 'node:fs';
import type { TestContext } from 'node:test';

type Done = (error: NodeJS.ErrnoException | null) => void;

/** A sync that was asked for and has not ended. */
export interface HeldSync {
  /** What its descriptor is of. */
  readonly path: () => string;
  /** Lets it happen, or fail. Resolves when who asked knows it. */
  readonly end: (error?: NodeJS.ErrnoException) => Promise<void>;
}

/** Holds the first `count` syncs of files that the process asks for. */
export function holdDatasyncs(context: TestContext, count: number): HeldSync[] {
  const held: HeldSync[] = [];
  const { fdatasync } = fs;
  context.mock.method(fs, 'fdatasync', (descriptor: number, done: Done) => {
    if (held.length >= count) return fdatasync(descriptor, done);
    const path = () => fs.readlinkSync(`/proc/self/fd/${descriptor}`);
    const end = async (failure?: NodeJS.ErrnoException) => {
      const error =
        failure ?? (await new Promise<NodeJS.ErrnoException | null>((ended) => fdatasync(descriptor, ended)));
      done(error);
      await new Promise(setImmediate);
    };
    held.push({ path, end });
  });
  return held;
}

/** Whether it is still to be settled when everything that could settle it by itself has had its turn. */
export async function isPending(work: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => (settled = true);
  work.then(settle, settle);
  for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
  return !settled;
}
