import path from 'node:path';
import { startDistribution } from '../harness/distribution.ts';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { missingForReplicas, Replicas } from '../scale/replicas.ts';

/** Whether the clients run against Debian's docker-registry, to tell a client's fault from the server's. */
export const AGAINST_DISTRIBUTION = process.env['ENTREPOT_TEST_REGISTRY'] === 'distribution';

/** Whether they run against several servers on PostgreSQL and S3 that take turns, instead of one on a directory. */
const AGAINST_REPLICAS = process.env['ENTREPOT_TEST_REGISTRY'] === 'replicas';

/** Why there can be no registry under test; false when there can. */
export const missingRegistry: string | false = AGAINST_REPLICAS && missingForReplicas;

/** What only Entrepot has, for node:test's `skip`. */
export function lackedByDistribution(feature: string): string | false {
  return AGAINST_DISTRIBUTION && `docker-registry 2.8 has no ${feature}`;
}

/** The members of an access line that these tests look at. */
export interface AccessLine {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly bytesIn: number;
}

/** The registry under test, on an empty root of its own. */
export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:PORT`, the first part of every reference. */
  readonly host: string;
  readonly url: string;
  /** The requests that were answered so far, in the order of the access log. */
  requests(): readonly AccessLine[];
}

/**
 * Starts the registry under test on a free port, with nothing in it.
 *
 * Disposing it stops the server as an operator would, and throws if it met an error in its life: clients try again after
 * a 5xx, and hide it.
 */
export async function startRegistry(env: Readonly<Record<string, string>> = {}): Promise<Registry> {
  if (AGAINST_REPLICAS) return startReplicas(env);
  await using starting = new AsyncDisposableStack();
  const directory = starting.use(await temporaryDirectory('entrepot-clients-'));
  const root = path.join(directory.path, 'root');
  const server = starting.use(await startServer(root, env));
  starting.use(killedAtExit(server.pid));
  const running = starting.move();
  return {
    host: server.host,
    url: server.url,
    requests: () => accessLines(server.output()),
    [Symbol.asyncDispose]: async () => {
      await using _ = running;
      await stopped(server);
      throwErrorsOf(server.output());
    },
  };
}

async function startReplicas(env: Readonly<Record<string, string>>): Promise<Registry> {
  await using starting = new AsyncDisposableStack();
  const replicas = starting.use(await Replicas.start({ env }));
  for (const { pid } of replicas.members) starting.use(killedAtExit(pid));
  const running = starting.move();
  return {
    host: replicas.host,
    url: replicas.url,
    requests: () => accessLines(replicas.output()),
    [Symbol.asyncDispose]: async () => {
      await using _ = running;
      for (const member of replicas.members) await stopped(member);
      throwErrorsOf(replicas.output());
      const idle = replicas.balancer.served.filter((requests) => requests === 0).length;
      if (idle > 0) throw new Error(`${idle} servers had nothing to do`);
    },
  };
}

/** Ends a server and waits for the last line of its log, which may still be in the pipe when the process is gone. */
async function stopped(server: Pick<RunningServer, 'stop' | 'output'>): Promise<void> {
  const status = await server.stop();
  if (AGAINST_DISTRIBUTION) return;
  if (status !== 0) throw new Error(`the server ended with ${status}:\n${server.output().slice(-2000)}`);
  await until(
    () => server.output().includes('"msg":"stopped"'),
    () => `the server never said that it stopped:\n${server.output().slice(-2000)}`,
  );
}

async function until(isTrue: () => boolean, complaint: () => string): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!isTrue()) {
    if (performance.now() > deadline) throw new Error(complaint());
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function throwErrorsOf(output: string): void {
  const errors = output.split('\n').filter(isError);
  if (errors.length > 0) throw new Error(`the server met errors:\n${errors.slice(0, 10).join('\n')}`);
}

// 503 is a warning in the log, and here a fault as well. A line without a level is from outside the log: a stack trace.
function isError(line: string): boolean {
  return /"level":"(?:error|fatal)"|"status":5\d\d|"msg":"a request failed"|^\s*\w*Error\b/.test(line);
}

// The server has a process group of its own, which an interrupt of the tests does not reach.
function killedAtExit(pid: number): Disposable {
  const kill = () => {
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended already.
    }
  };
  process.once('exit', kill);
  return { [Symbol.dispose]: () => void process.off('exit', kill) };
}

function startServer(root: string, env: Readonly<Record<string, string>>): Promise<RunningServer> {
  if (AGAINST_DISTRIBUTION) return startDistribution({ root });
  return startEntrepot({ root, env: { ENTREPOT_LOG_FORMAT: 'json', ...env } });
}

function accessLines(log: string): readonly AccessLine[] {
  const complete = log.split('\n').slice(0, -1);
  return complete.filter((line) => line.includes('"msg":"request"')).map(parseAccessLine);
}

function parseAccessLine(line: string): AccessLine {
  return JSON.parse(line);
}

/**
 * Waits for the access line of a successful mount into `repository`, from whichever repository the client knows to have
 * the blob: the log is written after the answer that the client has.
 *
 * @throws Error with all uploads of that repository when none of them was a mount
 */
export async function untilMounted(registry: Registry, repository: string): Promise<void> {
  await until(
    () => uploadsOf(registry, repository).some(isMount),
    () => `no mount: ${JSON.stringify(uploadsOf(registry, repository))}`,
  );
}

// 201 to a POST that carries no bytes: the blob is in the repository, and nothing was uploaded.
function isMount({ path: target, status, bytesIn }: AccessLine): boolean {
  const { searchParams } = new URL(target, 'http://registry.invalid');
  return status === 201 && bytesIn === 0 && searchParams.has('mount') && searchParams.has('from');
}

function uploadsOf(registry: Registry, repository: string): readonly AccessLine[] {
  const prefix = `/v2/${repository}/blobs/uploads/`;
  return registry.requests().filter(({ method, path: target }) => method === 'POST' && target.startsWith(prefix));
}
