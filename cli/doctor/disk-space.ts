import { statfs } from 'node:fs/promises';
import { about, type Check, type Finding } from './finding.ts';
import { nearestExisting } from './nearest.ts';

const space = about('disk space');
const inodes = about('inodes');

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
/** Below this not even one ordinary layer fits. */
const MIN_BYTES = 100 * MIB;
const MIN_INODES = 1000;
const SCARCE_SHARE = 0.05;
const PLENTY_BYTES = 20 * GIB;

/** Whether images still fit on the disk of the root. Each blob takes two files and some directories. */
export const checkDiskSpace: Check = async ({ config }) => {
  const where = await nearestExisting(config.root);
  const { bavail, blocks, bsize, files, ffree } = await statfs(where);
  return [checkBytes(bavail * bsize, blocks * bsize, where), checkInodes(ffree, files, where)];
};

function checkBytes(free: number, all: number, where: string): Finding {
  const saw = `${inUnits(free)} of ${inUnits(all)} are free at ${where}`;
  const advice =
    'Make room ("The disk is full" in docs/operations.md), enlarge the file system, or set root to a larger one.';
  if (free < MIN_BYTES) return space.problem(saw, advice);
  return free < all * SCARCE_SHARE && free < PLENTY_BYTES ? space.warning(saw, advice) : space.ok(saw);
}

function checkInodes(free: number, all: number, where: string): Finding {
  // btrfs and others make them as they need them, and count none.
  if (all === 0) return inodes.ok(`the file system at ${where} has no fixed number`);
  const saw = `${free} of ${all} are free at ${where}`;
  const advice =
    'Delete small files there, or set root to a file system that was made with more inodes (mkfs.ext4 -i).';
  if (free < MIN_INODES) return inodes.problem(saw, advice);
  return free < all * SCARCE_SHARE ? inodes.warning(saw, advice) : inodes.ok(saw);
}

function inUnits(bytes: number): string {
  return bytes < GIB ? `${Math.floor(bytes / MIB)} MiB` : `${(bytes / GIB).toFixed(1)} GiB`;
}
