import type { BackupProgress } from '../registry/backup/backup.ts';
import type { RegistryLog } from '../registry/context.ts';
import { createProgress, type Progress } from './progress.ts';
import { CommandFault } from './usage.ts';

/** Runs work that Ctrl-C ends in order, with a line that shows how far it is. */
export async function interruptible<T>(
  label: string,
  work: (signal: AbortSignal, progress: Progress) => Promise<T>,
): Promise<T> {
  const progress = createProgress(label);
  const controller = new AbortController();
  const interrupt = () => controller.abort(new CommandFault('interrupted: the next one goes on from what is there'));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  try {
    return await work(controller.signal, progress);
  } catch (error) {
    // Whatever the interruption made fail.
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeListener(signal, interrupt);
    progress.end();
  }
}

const SHOW_EVERY_MS = 250;

/** With the rate since it began. */
export function shownAs(progress: Progress): (report: BackupProgress) => void {
  const begun = performance.now();
  let shown = 0;
  return ({ blobs, bytes, of }) => {
    const now = performance.now();
    if (now - shown < SHOW_EVERY_MS) return;
    shown = now;
    const rate = bytes / 1e6 / ((now - begun) / 1000);
    progress.show({ blobs, bytes: `${bytes} of ${of}`, rate: `${rate.toFixed(1)} MB/s` });
  };
}

/** What is said to whoever runs the command, beside its result. */
export const WARNINGS: RegistryLog = {
  info: () => {},
  warn: (message, fields) => console.error(`entrepot: ${message} ${JSON.stringify(fields)}`),
};
