import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const PROJECT_ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** A new empty directory, removed at the end of the `using` block. */
export async function temporaryDirectory(prefix = 'entrepot-test-'): Promise<{ path: string } & AsyncDisposable> {
  const directory = await mkdtemp(path.join(process.env['ENTREPOT_TEST_TMP'] ?? tmpdir(), prefix));
  return { path: directory, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

// Below what the kernel takes for outgoing connections (`ip_local_port_range` begins at 32768), where one of them could
// take a port between this question and its use.
const PORTS = { first: 10_000, end: 32_000 };
const handedOut = new Set<number>();

/** A TCP port of 127.0.0.1 that was free a moment ago. No port is handed out twice by a process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(PORTS.first, PORTS.end);
    if (handedOut.has(port)) continue;
    handedOut.add(port);
    if (await isFree(port)) return port;
  }
}

async function isFree(port: number): Promise<boolean> {
  const probe = createServer().listen(port, '127.0.0.1');
  try {
    await once(probe, 'listening');
  } catch {
    return false;
  }
  probe.close();
  await once(probe, 'close');
  return true;
}

/** A registry that runs in processes of its own. */
export interface RunningServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, no slash at the end. */
  readonly url: string;
  /** `127.0.0.1:PORT`, as image references have it. */
  readonly host: string;
  /** Of the first process; kill the whole group with `kill`. */
  readonly pid: number;
  /** Everything it printed to both streams so far. */
  output(): string;
  /** SIGTERM to the first process, then waits for its end. */
  stop(): Promise<number | null>;
  /** SIGKILL to every process of it at once, as a crash would. */
  kill(): Promise<void>;
}

export interface ServerOptions {
  /** Data directory. */
  readonly root: string;
  readonly port?: number;
  /** More command line, for example `['--workers', '1']`. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds to wait for the first answer. */
  readonly timeoutMs?: number;
}

/** Starts `entrepot serve` from the sources on a free port of 127.0.0.1 and waits until it answers. */
export async function startEntrepot(options: ServerOptions): Promise<RunningServer> {
  const port = options.port ?? (await freePort());
  const host = `127.0.0.1:${port}`;
  const args = ['cli/main.mjs', 'serve', '--address', host, '--root', options.root, ...(options.args ?? [])];
  return startServer(process.execPath, args, host, options);
}

/**
 * Starts any registry and waits until `GET /v2/` answers.
 *
 * @throws Error with everything the process printed when it ends or does not answer in time
 */
export async function startServer(
  command: string,
  args: readonly string[],
  host: string,
  options: Pick<ServerOptions, 'env' | 'timeoutMs'> = {},
): Promise<RunningServer> {
  let output = '';
  // A group of its own: `kill` reaches the workers as well, at the same moment.
  const child = spawn(command, args, {
    cwd: PROJECT_ROOT,
    env: { ...process.env, ...options.env },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const ended = once(child, 'exit') as Promise<[number | null]>;
  const url = `http://${host}`;
  try {
    await untilAnswers(`${url}/v2/`, child, options.timeoutMs ?? 15_000);
  } catch (error) {
    killGroup(child);
    throw new Error(`${command} ${args.join(' ')} did not start: ${String(error)}\n${output}`, { cause: error });
  }
  const kill = async () => {
    killGroup(child);
    await ended;
  };
  return {
    url,
    host,
    pid: child.pid ?? 0,
    output: () => output,
    stop: async () => {
      child.kill('SIGTERM');
      return (await ended)[0];
    },
    kill,
    [Symbol.asyncDispose]: kill,
  };
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

async function untilAnswers(url: string, child: ChildProcess, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    try {
      await fetch(url, { signal: AbortSignal.timeout(1000) });
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
