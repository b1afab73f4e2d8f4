import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { about, type Check, type Finding } from './finding.ts';
import { nearestExisting } from './nearest.ts';

const clock = about('clock');

const EARLIEST = new Date('2026-01-01T00:00:00Z');
const LATEST = new Date('2100-01-01T00:00:00Z');
/** File systems keep times to 2 s at worst (FAT). */
const MAX_SKEW_MS = 5000;
const NTP = 'Set the clock, and keep it right with NTP (timedatectl set-ntp true).';

/** Expiry, grace and tokens go by the clock; the times of files go by that of the machine that keeps them. */
export const checkClock: Check = async ({ config, now, isServing }) => {
  const time = now();
  const saw = `it says ${time.toISOString()}`;
  if (time < EARLIEST || time > LATEST) return [clock.problem(saw, NTP)];
  if (config.storage.driver === 'memory' || isServing) return [clock.ok(saw)];
  return [await compareWithDisk(config.root, now)];
};

async function compareWithDisk(root: string, now: () => Date): Promise<Finding> {
  const written = await timeOfNewFile(root).catch(() => undefined);
  const time = now();
  const saw = `it says ${time.toISOString()}`;
  if (written === undefined) return clock.ok(`${saw}; no file could be written to the root to compare with`);
  const skewMs = Math.abs(written.getTime() - time.getTime());
  if (skewMs <= MAX_SKEW_MS) return clock.ok(`${saw}, and so do new files of the root`);
  return clock.warning(
    `${saw}, and a file written to the root just now ${written.toISOString()}`,
    'Set the clocks of this machine and of the one that keeps the files, and keep both right with NTP.',
  );
}

async function timeOfNewFile(root: string): Promise<Date> {
  const directory = await mkdtemp(path.join(await nearestExisting(path.join(root, '.meta')), '.doctor-'));
  try {
    const file = path.join(directory, 'clock');
    await writeFile(file, 'what time is it?');
    return (await stat(file)).mtime;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
