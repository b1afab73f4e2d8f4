import { spawn } from 'node:child_process';
import { once } from 'node:events';

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** What it reads from its standard input; nothing where not given. */
  readonly input?: string;
  /** After which it is killed; 3 minutes where not given. */
  readonly timeoutMs?: number;
}

export interface CommandOutput {
  /** Without the white space around it. */
  readonly stdout: string;
  readonly stderr: string;
}

/** A program that ended with another status than 0. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly stderr: string;

  constructor(command: string, args: readonly string[], end: string, { stdout, stderr }: CommandOutput) {
    super(`${command} ${args.join(' ')}: ${end}\n${stdout}\n${stderr}`);
    this.stderr = stderr;
  }
}

/**
 * Runs a program to its end.
 *
 * @throws CommandError with everything it printed when it does not end with status 0 in time
 */
export async function run(
  command: string,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<CommandOutput> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    timeout: options.timeoutMs ?? 180_000,
    killSignal: 'SIGKILL',
  });
  const printed = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (printed.stderr += text));
  // A program that ends without reading its input is judged by its status alone.
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  await once(child, 'close');
  const output = { stdout: printed.stdout.trim(), stderr: printed.stderr.trim() };
  const status = child.exitCode ?? child.signalCode;
  if (status !== 0) throw new CommandError(command, args, `ended with ${status}`, output);
  return output;
}
