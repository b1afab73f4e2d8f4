import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * Runs a program to its end.
 *
 * @throws Error with what it printed when it ends with another status than 0
 */
export async function run(command: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, [...args], { timeout: 60_000 });
  return stdout.trim();
}

/** Compiles one of the C files beside this one and says where the result is. */
export async function compile(source: string, output: string, ...flags: readonly string[]): Promise<string> {
  await run('cc', '-O2', '-Wall', '-Wextra', '-Werror', ...flags, '-o', output, `${import.meta.dirname}/${source}`);
  return output;
}
