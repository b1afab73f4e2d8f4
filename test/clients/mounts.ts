import { readFile } from 'node:fs/promises';
import { run } from './command.ts';

/** Unmounts everything that an engine left mounted below a directory, the innermost first. */
export async function unmountBelow(directory: string): Promise<void> {
  for (const target of (await mountsBelow(directory)).toReversed()) await run('umount', ['--lazy', target]);
}

// proc(5): the fifth field is the mount point, and a later line may lie on top of an earlier one.
async function mountsBelow(directory: string): Promise<readonly string[]> {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return lines.map((line) => line.split(' ')[4] ?? '').filter((target) => target.startsWith(`${directory}/`));
}
