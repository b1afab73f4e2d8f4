import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { temporaryDirectory } from '../harness/process.ts';
import { run, type CommandOptions, type CommandOutput } from './command.ts';
import { startContainerd, type Containerd } from './containerd.ts';
import { startDaemon } from './daemon.ts';
import { unmountBelow } from './mounts.ts';
import { tool } from './tools.ts';

/** A docker daemon of our own, with a client that talks to it. */
export interface Docker extends AsyncDisposable {
  /** Empty, and gone with the daemon. */
  readonly directory: string;
  /** Runs `docker ARGS` against the daemon. */
  docker(args: readonly string[], options?: CommandOptions): Promise<CommandOutput>;
}

export interface DockerOptions {
  /** A registry that the daemon may talk to over plain HTTP, or without a known certificate. */
  readonly insecureRegistry?: string;
  /** For the daemon, where it finds its certificates for example. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts dockerd, and a containerd for it, with no network of its own: no bridge, no firewall rules, no proxy. */
export async function startDocker(options: DockerOptions = {}): Promise<Docker> {
  await using starting = new AsyncDisposableStack();
  const { path: root } = starting.use(await temporaryDirectory('entrepot-docker-'));
  starting.defer(() => unmountBelow(root));
  const directory = path.join(root, 'work');
  await Promise.all(['work', 'tmp', 'client'].map((name) => mkdir(path.join(root, name))));
  await writeFile(path.join(root, 'daemon.json'), '{}');
  const containerd = starting.use(await startContainerd());
  const client = ['--host', `unix://${root}/docker.sock`, '--config', path.join(root, 'client')];
  const docker = (args: readonly string[], more?: CommandOptions) => run(tool('docker'), [...client, ...args], more);
  const env = { DOCKER_TMPDIR: path.join(root, 'tmp'), TMPDIR: path.join(root, 'tmp'), ...options.env };
  starting.use(
    await startDaemon(tool('dockerd'), daemonArgs(root, containerd, options), () => docker(['version']), env),
  );
  const running = starting.move();
  return { directory, docker, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

function daemonArgs(root: string, containerd: Containerd, { insecureRegistry }: DockerOptions): readonly string[] {
  return [
    `--config-file=${root}/daemon.json`,
    `--data-root=${root}/data`,
    `--exec-root=${root}/exec`,
    `--pidfile=${root}/docker.pid`,
    `--host=unix://${root}/docker.sock`,
    `--containerd=${containerd.socket}`,
    '--iptables=false',
    '--ip6tables=false',
    '--ip-forward=false',
    '--ip-masq=false',
    '--bridge=none',
    '--userland-proxy=false',
    ...(insecureRegistry === undefined ? [] : [`--insecure-registry=${insecureRegistry}`]),
  ];
}
