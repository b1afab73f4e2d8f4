import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { PROJECT_ROOT } from './process.ts';

/** A run of the command that is over. */
export interface CommandResult {
  /** Null when it did not end by itself and was killed. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Its standard input; nothing unless given. */
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** A run of the command that goes on. */
export interface StartedCommand extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly result: Promise<CommandResult>;
  /** Resolves with everything it printed to standard output once that matches. */
  until(pattern: RegExp): Promise<string>;
}

/** Runs `entrepot` with these arguments to its end. */
export async function runEntrepot(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  await using command = startCommand(process.execPath, ['cli/main.mjs', ...args], options);
  return await command.result;
}

/** Starts a command at the top of the project, in a process group of its own that ends with the `using` block. */
export function startCommand(program: string, args: readonly string[], options: CommandOptions = {}): StartedCommand {
  const child = spawn(program, args, {
    cwd: PROJECT_ROOT,
    env: { ...process.env, ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  // One that does not read its input may end before it has it.
  child.stdin.on('error', () => {}).end(options.input ?? '');
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const timer = setTimeout(() => killGroup(child), options.timeoutMs ?? 20_000);
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const result = once(child, 'close').then(async () => {
    clearTimeout(timer);
    return { code: (await ended)[0], stdout, stderr };
  });
  const until = async (pattern: RegExp) => {
    while (!pattern.test(stdout)) {
      await Promise.race([once(child.stdout, 'data'), result]);
      const end = child.exitCode ?? child.signalCode;
      if (end !== null) throw new Error(`it ended with ${end}\n${stdout}${stderr}`);
    }
    return stdout;
  };
  const end = async () => {
    killGroup(child);
    await result;
  };
  return { child, result, until, [Symbol.asyncDispose]: end };
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended, with all its children.
  }
}
