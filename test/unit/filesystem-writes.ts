import fs from 'node:fs';
import type { TestContext } from 'node:test';

type Write = (descriptor: number, chunks: readonly Uint8Array[], position: number) => number;
type Done = (error: NodeJS.ErrnoException | null, count?: number) => void;

/** Puts `write` in the place of the calls that write at a position, in the process and in its thread pool. */
export function replaceWrites(context: TestContext, write: Write): { count(): number } {
  const now = context.mock.method(fs, 'writevSync', write);
  const later = context.mock.method(
    fs,
    'writev',
    (descriptor: number, chunks: readonly Uint8Array[], position: number, done: Done) => {
      try {
        setImmediate(done, null, write(descriptor, chunks, position));
      } catch (error) {
        setImmediate(done, error as NodeJS.ErrnoException);
      }
    },
  );
  return { count: () => now.mock.callCount() + later.mock.callCount() };
}
