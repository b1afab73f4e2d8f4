import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { temporaryDirectory } from '../harness/process.ts';
import { run } from './command.ts';

/** A filesystem of its own, unmounted and removed at the end of the `using` block. */
export interface Mounted extends AsyncDisposable {
  /** Where it is mounted. */
  readonly path: string;
  /** A directory beside it, on another filesystem. */
  readonly scratch: string;
  /** Mounts it with other options while it is in use. */
  remount(options: string): Promise<void>;
  /** Unmounts it and mounts it again, as a machine that starts would. No process may use it. */
  restart(): Promise<void>;
}

/** An ext4 in a file. */
export async function mountExt4(sizeMb: number): Promise<Mounted> {
  return mounted(async (scratch, target) => {
    const image = path.join(scratch, 'disk.img');
    await run('truncate', '-s', `${sizeMb}M`, image);
    await run('mkfs.ext4', '-q', '-F', image);
    return ['-t', 'ext4', '-o', 'loop', image, target];
  });
}

/** A filesystem in memory, with mount options such as `size=8m` or `nr_inodes=200`. */
export async function mountTmpfs(options: string): Promise<Mounted> {
  return mounted(async (_, target) => ['-t', 'tmpfs', '-o', options, 'tmpfs', target]);
}

type Prepare = (scratch: string, target: string) => Promise<readonly string[]>;

async function mounted(prepare: Prepare): Promise<Mounted> {
  await using stack = new AsyncDisposableStack();
  const scratch = stack.use(await temporaryDirectory('entrepot-mounted-')).path;
  const target = path.join(scratch, 'mounted');
  await mkdir(target);
  const args = await prepare(scratch, target);
  stack.defer(() => unmount(target));
  await run('mount', ...args);
  const owned = stack.move();
  return {
    path: target,
    scratch,
    remount: async (options) => void (await run('mount', '-o', `remount,${options}`, target)),
    restart: async () => {
      await unmount(target);
      await run('mount', ...args);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Waits for a killed process to let go of it. */
async function unmount(target: string): Promise<void> {
  const deadline = performance.now() + 20_000;
  while (await isMounted(target)) {
    try {
      await run('umount', target);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(20);
    }
  }
}

async function isMounted(target: string): Promise<boolean> {
  return (await readFile('/proc/self/mounts', 'utf8')).includes(` ${target} `);
}
