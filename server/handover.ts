import type { Worker } from 'node:cluster';

type Child = Worker['process'];

/** As node:cluster hands it over: a connection that was accepted, without a socket around it. */
interface Connection {
  close(...done: unknown[]): void;
}

/**
 * The connections on their way from this process to its workers.
 *
 * node:cluster forgets one whose worker dies before it said that it has it, and one that comes back when no worker is
 * left to take it: its client hangs until this process ends. Here it is closed, and the client tries again.
 */
export class Handover {
  readonly #onTheirWay = new Map<Connection, Child>();
  readonly #refusing = new WeakSet<Child>();

  /** Watches over what is handed to `worker`. */
  watch(worker: Worker): void {
    const child = worker.process;
    const send = child.send.bind(child) as (...message: unknown[]) => boolean;
    child.send = (message: unknown, handle?: unknown, ...rest: unknown[]): boolean => {
      if (!isConnection(message, handle)) return send(message, handle, ...rest);
      if (!this.#refusing.has(child)) {
        this.#follow(handle, child);
        return send(message, handle, ...rest);
      }
      handle.close();
      return true;
    };
    worker.once('exit', () => this.#closeAllOf(child));
  }

  /** From now on closes each connection that would be handed to `worker`. */
  refuse(worker: Worker): void {
    this.#refusing.add(worker.process);
  }

  // node:cluster closes this process's side when the worker has taken it. One that comes back goes to another worker.
  #follow(connection: Connection, child: Child): void {
    if (!this.#onTheirWay.has(connection)) {
      const close = connection.close.bind(connection);
      connection.close = (...done) => {
        this.#onTheirWay.delete(connection);
        close(...done);
      };
    }
    this.#onTheirWay.set(connection, child);
  }

  #closeAllOf(child: Child): void {
    for (const [connection, takenBy] of this.#onTheirWay) if (takenBy === child) connection.close();
  }
}

function isConnection(message: unknown, handle: unknown): handle is Connection {
  const { act } = message as { act?: unknown };
  return act === 'newconn' && typeof handle === 'object' && handle !== null && 'close' in handle;
}
