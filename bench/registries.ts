import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { freePort, PROJECT_ROOT } from '../test/harness/process.ts';

/** A registry that answers. */
export interface Running {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** First process of its tree; undefined for one that somebody else runs. */
  readonly pid: number | undefined;
  /** From the spawn to the first 200 of `GET /v2/`, or 401 of one that wants a login. */
  readonly startMs: number;
  /** The header that reads are to be sent with; undefined: none. */
  readonly authorization?: string;
  stop(): Promise<void>;
}

/** How to run one registry program. */
export interface Registry {
  readonly name: string;
  /** Starts it on the directory `root`. */
  start(root: string): Promise<Running>;
  /** Whether `root` means anything: a registry given by URL always serves the same data. */
  readonly isOurs: boolean;
}

/** What to run for a root and an address. */
export type Launch = (root: string, host: string) => Promise<Command> | Command;

export interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * A registry that the benchmark starts itself; it logs to a file beside its root.
 *
 * @param authorize gets the header that reads are to be sent with
 */
export function launched(name: string, launch: Launch, authorize?: (host: string) => Promise<string>): Registry {
  return {
    name,
    isOurs: true,
    start: async (root) => {
      const host = `127.0.0.1:${await freePort()}`;
      mkdirSync(root, { recursive: true });
      const log = path.join(path.dirname(root), `${path.basename(root)}.log`);
      const running = await spawnRegistry(await launch(root, host), host, log);
      return authorize === undefined ? running : { ...running, authorization: await authorize(host) };
    },
  };
}

/** A registry that runs already. */
export function remote(url: string, pid: number | undefined): Registry {
  const { host } = new URL(url);
  return {
    name: url,
    isOurs: false,
    start: async () => {
      const start = performance.now();
      if ((await ping(host)) !== 200) throw new Error(`${url}/v2/ does not answer 200`);
      return { host, pid, startMs: performance.now() - start, stop: () => Promise.resolve() };
    },
  };
}

async function spawnRegistry({ command, args, env }: Command, host: string, log: string): Promise<Running> {
  const descriptor = openSync(log, 'w');
  const start = performance.now();
  // A group of its own, so that it can be ended with all its workers. Logs go to a file: no reader takes CPU for them.
  const child = spawn(command, args, {
    cwd: PROJECT_ROOT,
    detached: true,
    env: { ...process.env, NODE_ENV: 'production', ...env },
    stdio: ['ignore', descriptor, descriptor],
  });
  closeSync(descriptor);
  try {
    await untilReady(child, host);
  } catch (error) {
    await stop(child);
    throw new Error(`${command} ${args.join(' ')}: ${String(error)}\n${readFileSync(log, 'utf8')}`, { cause: error });
  }
  return { host, pid: child.pid, startMs: performance.now() - start, stop: () => stop(child) };
}

async function untilReady(child: ChildProcess, host: string): Promise<void> {
  let failure: unknown;
  child.on('error', (error) => (failure = error));
  const deadline = performance.now() + 30_000;
  while (![200, 401].includes((await ping(host)) ?? 0)) {
    if (failure !== undefined) throw failure;
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    if (performance.now() > deadline) throw new Error('it does not answer');
    await new Promise((resolve) => setTimeout(resolve, 3));
  }
}

/** The status of `GET /v2/`, undefined while nobody listens. */
function ping(host: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    request(`http://${host}/v2/`, { agent: false }, (response) => resolve(response.resume().statusCode))
      .on('error', () => resolve(undefined))
      .setTimeout(2000, () => resolve(undefined))
      .end();
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => killGroup(child.pid), 10_000);
  await ended;
  clearTimeout(timer);
  killGroup(child.pid);
}

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}
