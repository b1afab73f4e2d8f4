import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { temporaryDirectory } from '../harness/process.ts';
import { run } from './command.ts';
import { startDaemon } from './daemon.ts';
import { unmountBelow } from './mounts.ts';
import { tool } from './tools.ts';

/** A containerd of our own: nothing in /etc, /run or /var is read or written. */
export interface Containerd extends AsyncDisposable {
  readonly directory: string;
  /** Path of the unix socket of its gRPC service. */
  readonly socket: string;
}

/** Starts containerd on an empty root and waits until it answers. */
export async function startContainerd(): Promise<Containerd> {
  await using starting = new AsyncDisposableStack();
  const { path: directory } = starting.use(await temporaryDirectory('entrepot-containerd-'));
  starting.defer(() => unmountBelow(directory));
  const socket = path.join(directory, 'c.sock');
  await writeFile(path.join(directory, 'config.toml'), configOf(directory, socket));
  await mkdir(path.join(directory, 'tmp'));
  const isReady = () => run(tool('ctr'), ['--address', socket, 'version']);
  const args = ['--config', path.join(directory, 'config.toml')];
  starting.use(await startDaemon(tool('containerd'), args, isReady, { TMPDIR: path.join(directory, 'tmp') }));
  const running = starting.move();
  return { directory, socket, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

// The CRI plugin would listen on a TCP port and look for a network.
function configOf(directory: string, socket: string): string {
  return `version = 2
root = "${directory}/root"
state = "${directory}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
address = "${socket}"

[plugins."io.containerd.internal.v1.opt"]
path = "${directory}/opt"
`;
}
