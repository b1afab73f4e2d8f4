import { readdir, readlink } from 'node:fs/promises';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import { measured } from '../../storage/blobs/measured.ts';
import { createMemoryDriver, type MemoryObjects } from '../../storage/blobs/memory.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { describeBlobDriver, type StoreUnderTest } from './blob-driver.ts';

async function directoryStore(wrap: (driver: BlobDriver) => BlobDriver): Promise<StoreUnderTest> {
  const directory = await temporaryDirectory('blobs-');
  return {
    open: async () => wrap(await openFilesystemDriver({ root: `${directory.path}/root` })),
    held: () => openBelow(directory.path),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

/** The files below `directory` that this process has open. */
async function openBelow(directory: string): Promise<string[]> {
  const descriptors = await readdir('/proc/self/fd');
  // One of them was the listing's own.
  const files = await Promise.all(descriptors.map((number) => readlink(`/proc/self/fd/${number}`).catch(() => '')));
  return files.filter((file) => file.startsWith(directory));
}

describeBlobDriver('filesystem', () => directoryStore((driver) => driver));

describeBlobDriver('measured filesystem', () => directoryStore((driver) => measured(driver, () => undefined)));

describeBlobDriver('memory', async () => {
  const objects: MemoryObjects = new Map();
  return {
    open: async () => createMemoryDriver(objects),
    held: async () => [],
    [Symbol.asyncDispose]: async () => undefined,
  };
});
