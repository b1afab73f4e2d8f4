import { lockRoot, RootIsTaken, RootUnusable } from '../server/root-lock.ts';
import { CommandFault } from './usage.ts';

/** @throws CommandFault when somebody else is at work in it */
export function lockBackup(directory: string): Disposable {
  try {
    const lock = lockRoot(directory);
    return { [Symbol.dispose]: () => lock.release() };
  } catch (error) {
    if (!(error instanceof RootIsTaken)) throw error;
    throw new CommandFault(`another backup is at work in ${directory}, or a server runs on it: wait for its end`, {
      cause: error,
    });
  }
}

/** A backup that this user cannot write to, or a disk that is mounted read-only, nobody changes meanwhile. */
export function lockIfWritable(directory: string): Disposable {
  try {
    return lockBackup(directory);
  } catch (error) {
    if (!(error instanceof RootUnusable)) throw error;
    return { [Symbol.dispose]: () => {} };
  }
}
