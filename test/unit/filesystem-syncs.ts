import fs from 'node:fs';
import type { TestContext } from 'node:test';

export interface Sync {
  readonly call: 'fsync' | 'fdatasync';
  /** What the descriptor was of. */
  readonly path: string;
  /** Which of the watched paths could be seen at that moment. */
  readonly seen: readonly string[];
}

type Done = (error: NodeJS.ErrnoException | null) => void;

/** Records every sync that the process asks for, in order, and lets it happen. */
export function recordSyncs(context: TestContext, watched: readonly string[] = []): Sync[] {
  const syncs: Sync[] = [];
  for (const call of ['fsync', 'fdatasync'] as const) {
    const original = fs[call];
    context.mock.method(fs, call, (descriptor: number, done: Done) => {
      const seen = watched.filter((file) => fs.existsSync(file));
      syncs.push({ call, path: fs.readlinkSync(`/proc/self/fd/${descriptor}`), seen });
      original(descriptor, done);
    });
  }
  return syncs;
}

/** What the kernel says when it could not write a page that it had taken. */
export function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: planned`), { code });
}
