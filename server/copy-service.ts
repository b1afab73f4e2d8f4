import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { readConfig } from '../config/load.ts';
import type { BackupDirectory } from '../registry/backup/backup-directory.ts';
import { putLinks } from '../registry/backup/backup.ts';
import { beginRun } from '../registry/store.ts';
import { StorageError, type BlobDriver } from '../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../storage/blobs/filesystem.ts';
import { isBesideTree } from '../storage/layout.ts';
import { bootId } from './boot-id.ts';
import { createLog } from './observe/log.ts';
import { createMetrics } from './observe/metrics.ts';
import { createService } from './service.ts';

const STDERR = 2;
const NOT_WRITTEN = 'nothing is written to a backup that is only looked at';
const TREE = path.join('docker', 'registry', 'v2');

/** A registry that serves a snapshot on a port of the loopback address. */
export interface CopyService extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, no slash at the end. */
  readonly url: string;
}

/**
 * Serves a snapshot of a backup over HTTP, in this process, and changes nothing in the backup: what a server writes lies in
 * a temporary directory, whose tree leads to the blobs of the backup. Of the newest snapshot the links are those of the
 * backup's own tree, of another one they are made from its list.
 */
export async function serveCopy(backup: BackupDirectory, snapshot: string, signal: AbortSignal): Promise<CopyService> {
  await using opened = new AsyncDisposableStack();
  const root = await mkdtemp(path.join(tmpdir(), 'entrepot-verify-'));
  opened.defer(() => rm(root, { recursive: true, force: true }));
  const log = createLog({ level: 'error', format: 'pretty', access: false, fd: STDERR });
  opened.defer(() => log.close());
  if (snapshot === (await backup.snapshots()).at(-1)) {
    await symlink(path.join(backup.path, 'docker'), path.join(root, 'docker'));
  } else {
    await mkdir(path.join(root, TREE), { recursive: true });
    await symlink(path.join(backup.path, TREE, 'blobs'), path.join(root, TREE, 'blobs'));
    await putLinks(backup.listOf(snapshot), await openFilesystemDriver({ root }), new Set(), { log, signal });
  }
  // None of the variables and files of whoever runs this: they are about another server.
  const env = { ENTREPOT_READ_ONLY: 'true' };
  const config = await readConfig({ flags: { address: '127.0.0.1:0', root, workers: '1' }, env, cwd: root });
  const run = randomUUID();
  const parts = { log, metrics: createMetrics(), metricsText: async () => '', decorate: leavingDamage };
  const service = await createService(config, { run, worker: 0 }, parts);
  opened.defer(() => service.drain());
  await beginRun({ ...service, log }, run, bootId(run));
  await service.registry.maintenance.verifyTree(async () => {
    await nextTurn();
    signal.throwIfAborted();
  });
  const port = await service.listen();
  const kept = opened.move();
  return { url: `http://127.0.0.1:${port}`, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

/** What is found damaged is told, and stays as it is: nothing is set aside or mended in a backup that is only looked at. */
function leavingDamage(driver: BlobDriver): BlobDriver {
  return {
    stat: (key) => driver.stat(key),
    read: (key, range) => driver.read(key, range),
    readSmall: (key, maxBytes) => driver.readSmall(key, maxBytes),
    writeAll: async (writes, last = []) => {
      if ([...writes, ...last].some(({ key }) => !isBesideTree(key)))
        throw new StorageError('unavailable', NOT_WRITTEN);
      await driver.writeAll(writes, last);
    },
    delete: (keys) => driver.delete(keys),
    setAside: async () => {},
    list: (prefix) => driver.list(prefix),
    stage: (key) => driver.stage(key),
    resume: (key) => driver.resume(key),
    flush: () => driver.flush(),
    removeAbandoned: async () => 0,
    close: () => driver.close(),
  };
}
