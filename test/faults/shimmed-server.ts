import { mkdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { Client } from './client.ts';
import { Shim } from './shim.ts';
import { startSubject } from './subject.ts';

/** A server whose system calls below its root can be made to fail. */
export interface ShimmedServer extends AsyncDisposable {
  readonly root: string;
  readonly shim: Shim;
  readonly client: Client;
  readonly server: RunningServer;
}

/** @param workers how many processes share the fault */
export async function startShimmed(workers = 1): Promise<ShimmedServer> {
  await using stack = new AsyncDisposableStack();
  const directory = await realpath(stack.use(await temporaryDirectory('entrepot-shimmed-')).path);
  const root = path.join(directory, 'store');
  await mkdir(root);
  const shim = stack.use(await Shim.open(root, directory));
  const args = ['--workers', String(workers)];
  const server = stack.use(await startSubject({ root, args, env: shim.env }));
  const client = stack.use(new Client(server.url));
  const owned = stack.move();
  return { root, shim, client, server, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The server on the same root, with nothing in its way. */
export function startPlain(root: string): Promise<RunningServer> {
  return startSubject({ root, args: ['--workers', '1'] });
}
