import { stat } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Finding } from './finding.ts';
import { about } from './finding.ts';
import { lockHolder } from './process-table.ts';
import { codeOf } from './nearest.ts';

const lock = about('root lock');

/** What the lock of a root says. */
export interface RootLock {
  /** Whether a server holds it. */
  readonly isHeld: boolean;
  readonly finding: Finding;
}

/**
 * Looks whether a server runs on `root`. It holds `.meta/lock`, an SQLite database, in an exclusive transaction.
 *
 * Asks by a read, which such a transaction refuses: taking the lock to see whether it is free could keep a server that
 * starts at this moment from getting it.
 */
export async function inspectLock(root: string): Promise<RootLock> {
  const file = path.join(root, '.meta', 'lock');
  const free = { isHeld: false, finding: lock.ok('no server is running on this root') };
  try {
    await stat(file);
    probe(file);
    return free;
  } catch (error) {
    if (isBusy(error))
      return { isHeld: true, finding: lock.ok(`${await holderOf(file)}; nothing is written to it now`) };
    if (/^(ENOENT|ENOTDIR)$/.test(codeOf(error))) return free;
    return { isHeld: false, finding: unusable(file, error) };
  }
}

function probe(file: string): void {
  using database = new DatabaseSync(file, { readOnly: true, timeout: 0 });
  database.prepare('SELECT count(*) FROM sqlite_schema').get();
}

const SQLITE_BUSY = 5;

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY;
}

async function holderOf(file: string): Promise<string> {
  const holder = await lockHolder(file);
  return `a server is running on this root${holder === undefined ? '' : ` (${holder})`}`;
}

function unusable(file: string, error: unknown): Finding {
  const reason = error instanceof Error ? error.message : String(error);
  return lock.problem(
    `${file} cannot be read: ${reason}`,
    'Give the user that runs the server the rights to it; if it is damaged, stop every server on this root and delete it.',
  );
}
