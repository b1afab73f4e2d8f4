import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import { placeFile, type Companion } from '../registry/backup/backup-directory.ts';
import { BackupFault } from '../registry/backup/backup-fault.ts';
import type { BlobDriver } from '../storage/blobs/driver.ts';
import { copySqlite } from '../storage/metadata/copy-sqlite.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import { accessFilesOf, copyAccessOutOf } from './copy-access.ts';
import { openIndex } from './open-index.ts';
import { openDriver } from './open-registry.ts';
import { withStoreAlone } from './offline.ts';
import { RootIsTaken } from './root-lock.ts';

const LOOK_EVERY_MS = 250;
const COMPARED_WITHIN_MS = 10 * 60_000;
// The server compares what is in doubt every ten seconds.
const DOUBTS_SETTLED_WITHIN_MS = 60_000;

/** A store beside the server that runs on it, or without one. */
export interface BackupSource {
  readonly metadata: Metadata;
  readonly driver: BlobDriver;
  /** Names the tree. */
  readonly epoch: string;
}

/**
 * Opens a store to be read from, its index compared with its tree: by the server that runs on it, or else here.
 *
 * @param waiting told what is waited for
 * @throws BackupFault when the server has not compared it within ten minutes
 */
export async function withBackupSource<T>(
  config: Config,
  { signal, waiting }: { readonly signal: AbortSignal; readonly waiting: (what: string) => void },
  use: (source: BackupSource) => Promise<T>,
): Promise<T> {
  await compareHere(config, signal);
  await using opened = new AsyncDisposableStack();
  const metadata = await openIndex(config);
  opened.defer(() => metadata.close());
  await untilCompared(metadata, signal, waiting);
  const driver = await openDriver(config);
  opened.defer(() => driver.close());
  return await use({ metadata, driver, epoch: (await metadata.state.get('epoch')) ?? '' });
}

/** Where no server runs. It does not keep one from starting for longer than that takes. */
async function compareHere(config: Config, signal: AbortSignal): Promise<void> {
  try {
    await withStoreAlone(config, ({ registry }) =>
      registry.maintenance.verifyTree(async () => {
        await nextTurn();
        signal.throwIfAborted();
      }),
    );
  } catch (error) {
    if (!(error instanceof RootIsTaken)) throw error;
  }
}

async function untilCompared(metadata: Metadata, signal: AbortSignal, waiting: (what: string) => void): Promise<void> {
  const begun = performance.now();
  const isLate = (limitMs: number) => performance.now() - begun > limitMs;
  for (;;) {
    const run = await metadata.state.get('run');
    const isCompared = run !== undefined && (await metadata.state.get('verified-run')) === run;
    // Those that stay in doubt are copied as the index has them, and named.
    if (isCompared && (isLate(DOUBTS_SETTLED_WITHIN_MS) || (await metadata.collection.isWholeTreeKnown(run)))) return;
    if (isLate(COMPARED_WITHIN_MS)) {
      throw new BackupFault(
        'the server has not compared the tree with its index yet, so nobody knows what is there: look at its log, try again',
      );
    }
    waiting('for the server to compare the tree with its index');
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** Copies what a store has beside its tree and its index: accounts and keys, for their owner alone. */
export async function copyCompanions(
  { root, index: { postgres } }: Pick<Config, 'root' | 'index'>,
  target: (name: Companion) => string,
): Promise<void> {
  if (postgres !== undefined) {
    return copyAccessOutOf(postgres, { accounts: target('access.db'), keys: target('keys.json') });
  }
  const { accounts, keys } = accessFilesOf(root);
  if (existsSync(accounts)) copySqlite(accounts, target('access.db'));
  if (existsSync(keys)) await placeFile(target('keys.json'), await readFile(keys), 0o600);
}
