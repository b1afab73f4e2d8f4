import { statfsSync, type StatsFs } from 'node:fs';
import { StorageError } from './driver.ts';
import { storageErrorAt } from './failure.ts';

const MIB = 1024 * 1024;
const MOST_BYTES = 64 * MIB;
const SHARE = 0.02;
// A manifest, a link: what somebody may need who makes room.
const SMALL_BYTES = 64 * 1024;

/**
 * Keeps the last of a disk for what makes room: without it a push that fills the disk keeps the index from writing down
 * even a deletion.
 */
export class DiskReserve {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  #statfs(): StatsFs {
    try {
      return statfsSync(this.#root);
    } catch (error) {
      throw storageErrorAt(this.#root, error);
    }
  }

  /** @throws StorageError `full` when so many bytes would be taken from the reserve */
  refuse(bytes: number): void {
    if (bytes <= SMALL_BYTES) return;
    const { bavail, blocks, bsize } = this.#statfs();
    const reserve = Math.min(MOST_BYTES, blocks * bsize * SHARE);
    const free = bavail * bsize;
    if (free - bytes >= reserve) return;
    throw new StorageError('full', `${this.#root}: ${free} bytes are left, and ${reserve} are kept for the index`);
  }
}
