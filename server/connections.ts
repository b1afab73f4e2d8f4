import { once } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { ListenAddress } from '../config/config.ts';
import { CannotListen } from './cannot-listen.ts';
import type { Log } from './observe/log.ts';

/** @returns the port, also when 0 was configured. @throws CannotListen */
export async function listen(server: Server, address: ListenAddress): Promise<number> {
  server.listen({ host: address.host, port: address.port, backlog: 1024 });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new CannotListen(address, error);
  }
  return (server.address() as AddressInfo).port;
}

/** The open connections, those that have not said anything yet among them: Node's server does not know them. */
export function watchConnections(server: Server): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return connections;
}

/** Lets running requests end for as long as that takes, and cuts what is left then. */
export async function closeServer(
  server: Server,
  connections: ReadonlySet<Socket>,
  timeoutMs: number,
  log: Log,
): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close').then(() => true);
  // Every answer from now on tells its connection to end; idle ones end at once.
  server.prependListener(
    'request',
    (_request, response: ServerResponse) => void response.setHeader('Connection', 'close'),
  );
  server.close();
  server.closeIdleConnections();
  const sweep = setInterval(() => server.closeIdleConnections(), 100);
  const isDrained = await Promise.race([closed, delay(timeoutMs, false, { ref: false })]);
  clearInterval(sweep);
  if (isDrained) return;
  log.warn('requests were still running at the end of the drain timeout and are cut', { timeoutMs });
  for (const socket of connections) socket.destroy();
  await closed;
}
