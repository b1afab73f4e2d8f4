import { ClientGone } from '../http/request-body.ts';
import { isTooMany } from './refusal.ts';

export interface UploadPlacesParts {
  /** How many of one key may run at once. */
  readonly most: number;
  /** Told of each that is refused. */
  readonly onRefused: () => void;
  /** How long one may wait for its turn, in milliseconds. */
  readonly waitMs?: number | undefined;
}

/** What is looked at of the response of a request that waits. */
export interface Closable {
  readonly closed: boolean;
  once(event: 'close', listener: () => void): unknown;
  off(event: 'close', listener: () => void): unknown;
}

interface Line {
  running: number;
  /** In the order in which they came; each is called when it is its turn. */
  readonly waiting: Set<() => void>;
}

const WAIT_MS = 30_000;
const WAITING_FOR_EACH_PLACE = 10;
// When a place will be free nobody knows.
const RETRY_AFTER_MS = 5_000;

/**
 * Bounds the uploads of each account: those beyond wait, first come, first served, and hold nothing meanwhile.
 *
 * The body of one that waits is not read. So its client may be slow without a fault of its own, and the watchdog, which
 * begins with the reading, does not look at it.
 */
export class UploadPlaces {
  readonly #parts: UploadPlacesParts;
  readonly #lines = new Map<string, Line>();

  constructor(parts: UploadPlacesParts) {
    this.#parts = parts;
  }

  /** How many keys have uploads that run or wait. */
  get size(): number {
    return this.#lines.size;
  }

  /**
   * Does the work of a request when it has a place, which it gives back whatever becomes of it.
   *
   * @param key whose place it takes
   * @param response of the request: closed while it waits, it gives up
   * @throws RegistryError `TOOMANYREQUESTS` when too many are waiting, or it waited too long; ClientGone
   */
  async run<T>(key: string, response: Closable, work: () => T | Promise<T>): Promise<T> {
    const line = this.#lines.get(key) ?? { running: 0, waiting: new Set() };
    this.#lines.set(key, line);
    if (line.running < this.#parts.most) line.running += 1;
    else await this.#turn(line, response);
    try {
      return await work();
    } finally {
      this.#leave(key, line);
    }
  }

  #leave(key: string, line: Line): void {
    // Who waits takes over the place.
    const [next] = line.waiting;
    if (next !== undefined) next();
    else line.running -= 1;
    if (line.running === 0) this.#lines.delete(key);
  }

  /**
   * Waits for a place. A connection that is full of a body that nobody reads does not tell that its client went away: such
   * a request takes its turn or waits its time, and ends when its body is read.
   */
  async #turn({ waiting }: Line, response: Closable): Promise<void> {
    const { most, waitMs = WAIT_MS } = this.#parts;
    // Closed already, it would not say so again.
    if (response.closed) throw new ClientGone();
    if (waiting.size >= most * WAITING_FOR_EACH_PLACE) throw this.#refusal();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // Out of the line at once, not when the promise is seen to: a place must not be given to who left.
    const begin = () => {
      waiting.delete(begin);
      resolve();
    };
    const leave = (makeError: () => Error) => {
      if (waiting.delete(begin)) reject(makeError());
    };
    const giveUp = () => leave(() => new ClientGone());
    const timer = setTimeout(() => leave(() => this.#refusal()), waitMs);
    waiting.add(begin);
    response.once('close', giveUp);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      response.off('close', giveUp);
    }
  }

  #refusal(): Error {
    const { most, onRefused } = this.#parts;
    onRefused();
    const reason =
      `more than ${most} uploads of this account at once, and too many that wait: push less at a time, or ask who runs ` +
      `this registry for more (limits.uploadsPerAccount)`;
    return isTooMany(reason, RETRY_AFTER_MS);
  }
}
