import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/** How long a daemon may take to start, and to stop before it is killed. */
const PATIENCE_MS = 20_000;

/**
 * Starts a program that goes on running, and waits until `isReady` says so.
 *
 * Disposing it sends SIGTERM, and SIGKILL if that does not end it. Should the test process itself end first, the daemon
 * gets its SIGTERM then.
 *
 * @param isReady asked again and again; an error counts as no
 * @throws Error with everything the program printed when it ends or is not ready in time
 */
export async function startDaemon(
  command: string,
  args: readonly string[],
  isReady: () => Promise<unknown>,
  env: Readonly<Record<string, string>> = {},
): Promise<AsyncDisposable> {
  let output = '';
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  await once(child, 'spawn');
  const terminate = () => void child.kill('SIGTERM');
  process.once('exit', terminate);
  const stop = async () => {
    await stopChild(child);
    process.off('exit', terminate);
  };
  try {
    await untilReady(child, isReady);
  } catch (error) {
    await stop();
    throw new Error(`${command} ${args.join(' ')} did not start: ${String(error)}\n${output}`, { cause: error });
  }
  return { [Symbol.asyncDispose]: stop };
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

async function untilReady(child: ChildProcess, isReady: () => Promise<unknown>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    if (hasEnded(child)) throw new Error(`it ended with ${child.exitCode ?? child.signalCode}`);
    try {
      await isReady();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  await ended;
  clearTimeout(timer);
}
