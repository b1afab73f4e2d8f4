import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { makeDirectories } from '../storage/blobs/directories.ts';

// https://sqlite.org/rescode.html, primary codes.
const SQLITE_BUSY = 5;
const REASONS: Readonly<Record<string | number, string>> = {
  EACCES: 'this user may not write there: give it to the user that runs the server',
  EPERM: 'this user may not write there: give it to the user that runs the server',
  ENOENT: 'its file system takes no new directories',
  ENOTDIR: 'a file is in its place: remove that',
  EEXIST: 'a file is in its place: remove that',
  EROFS: 'its file system is mounted read-only: mount it for writing',
  ENOSPC: 'its disk is full: make room',
  8: 'this user may not write there: give it to the user that runs the server',
  13: 'its disk is full: make room',
  14: 'this user may not write there: give it to the user that runs the server',
  26: 'the file .meta/lock in it is damaged: stop every server on it and delete that file',
};

/** Somebody else serves this root. */
export class RootIsTaken extends Error {
  override readonly name = 'RootIsTaken';
}

/** Nothing can be written to this root; the message is for the person at the terminal. */
export class RootUnusable extends Error {
  override readonly name = 'RootUnusable';

  constructor(root: string, cause: unknown) {
    const reason = REASONS[codeOf(cause)] ?? (cause instanceof Error ? cause.message : String(cause));
    super(`cannot use the root ${root}: ${reason}, or choose another with --root`, { cause });
  }
}

/** Makes the root where it is missing, and `.meta` in it. @returns the latter @throws RootUnusable */
export function makeRoot(root: string): string {
  const directory = path.join(root, '.meta');
  try {
    makeDirectories(directory);
  } catch (error) {
    throw new RootUnusable(root, error);
  }
  return directory;
}

/**
 * Takes the root for this process until it ends, however it ends: an open exclusive transaction on an SQLite file is a
 * lock that the kernel gives back, and Node has no other.
 *
 * @throws RootIsTaken, RootUnusable
 */
export function lockRoot(root: string): { release(): void } {
  const directory = makeRoot(root);
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path.join(directory, 'lock'));
    // Long enough for the doctor, who reads it for a moment.
    database.exec('PRAGMA busy_timeout = 500; BEGIN EXCLUSIVE');
  } catch (error) {
    database?.close();
    if (codeOf(error) !== SQLITE_BUSY) throw new RootUnusable(root, error);
    const advice = 'stop the server, or wait until the command has ended, or give this one another --root';
    throw new RootIsTaken(`another entrepot works on ${root}: ${advice}`, { cause: error });
  }
  const held = database;
  return { release: () => held.close() };
}

/** SQLite's primary code, or the system's word. */
function codeOf(error: unknown): string | number {
  if (!(error instanceof Error)) return '';
  if ('errcode' in error && typeof error.errcode === 'number') return error.errcode & 0xff;
  return 'code' in error ? String(error.code) : '';
}
