import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** A request of a connection, and the answer that it gets when it is its turn. */
export interface Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** True as long as requests before it are being answered. */
  readonly isWaiting: boolean;
  /** Answers it by other means, for what turned out to be broken while it was waiting. */
  replace(answer: () => void): void;
}

// No client of a registry sends a second request before it has its answer. Who sends so many wants to fill the memory.
const MOST_WAITING = 100;

/**
 * Lets a connection's requests be handled one after the other. Node calls for each as soon as it was read: a pull that
 * was sent right behind its push would find nothing (RFC 9112 section 9.3.2), and a thousand requests in one packet
 * would open a thousand files.
 */
export class Turns {
  readonly #handle: (request: IncomingMessage, response: ServerResponse) => void;
  readonly #latest = new WeakMap<Socket, HeldTurn>();

  constructor(handle: (request: IncomingMessage, response: ServerResponse) => void) {
    this.#handle = handle;
  }

  readonly take = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request;
    const before = this.#latest.get(socket);
    const turn = new HeldTurn(request, response);
    this.#latest.set(socket, turn);
    if (before === undefined || before.response.closed) this.#handle(request, response);
    else if (before.waiting === MOST_WAITING) socket.destroy();
    else turn.wait(before, () => this.#handle(request, response));
  };

  /** The last whole header that came on this connection. */
  latest(socket: Socket): Turn | undefined {
    return this.#latest.get(socket);
  }
}

class HeldTurn implements Turn {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** How many are waiting, this one and those before it. */
  waiting = 0;
  isWaiting = false;
  #begin: () => void = () => {};

  constructor(request: IncomingMessage, response: ServerResponse) {
    this.request = request;
    this.response = response;
  }

  wait(before: HeldTurn, begin: () => void): void {
    this.#begin = begin;
    this.isWaiting = true;
    this.waiting = before.isWaiting ? before.waiting + 1 : 1;
    before.response.once('close', () => {
      this.isWaiting = false;
      // The answer before was the last of its connection, or the client is gone: nobody will read another.
      if (this.request.socket.writable) this.#begin();
    });
  }

  replace(answer: () => void): void {
    this.#begin = answer;
  }
}
