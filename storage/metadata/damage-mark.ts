import { existsSync, rmSync, writeFileSync } from 'node:fs';

/*
 * SQLite notices a damaged page only when it comes to it, long after others rely on the file. So whoever meets one
 * leaves a mark beside the index, and the next start makes it anew from the tree.
 */

const markOf = (file: string) => `${file}.is-damaged`;

export function markAsDamaged(file: string): void {
  try {
    writeFileSync(markOf(file), '');
  } catch {
    // The next one who meets the damage tries again.
  }
}

export function isMarkedAsDamaged(file: string): boolean {
  return existsSync(markOf(file));
}

export function removeDamageMark(file: string): void {
  rmSync(markOf(file), { force: true });
}
