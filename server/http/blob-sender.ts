import type { ServerResponse } from 'node:http';
import type { BlobReader } from '../../storage/blobs/driver.ts';
import type { TransferBudget } from './transfer-budget.ts';

const SMALL_BYTES = 64 * 1024;
const LARGE_BYTES = 1024 * 1024;
// What a socket takes at once says nothing about the client: the kernel's buffer is that large. Only behind it a
// transfer has shown that it is worth a second large buffer.
const DOUBLE_AFTER_BYTES = 8 * 1024 * 1024;
// A client that needs longer for a buffer gets smaller ones.
const SLOW_MS = 500;

/** The response's connection is closed, by the client or by the timeout. */
export class ResponseClosed extends Error {
  override readonly name = 'ResponseClosed';

  constructor() {
    super('the connection closed before the end of the response');
  }
}

/** Sends what `reader` gives, reading the next buffer while the socket takes the last one. Does not end the response. */
export async function sendBlob(response: ServerResponse, reader: BlobReader, buffers: Buffers): Promise<void> {
  const lease = buffers.lease(reader.size);
  try {
    let buffer = lease.first;
    let length = await reader.fill(buffer);
    for (let sent = length; length > 0; sent += length) {
      const startedAt = performance.now();
      const spare = lease.spare(buffer, sent);
      const [filled] = await both(spare && reader.fill(spare), write(response, buffer.subarray(0, length)));
      if (performance.now() - startedAt > SLOW_MS) lease.slow();
      buffer = spare ?? lease.next(buffer);
      length = filled ?? (await reader.fill(buffer));
    }
  } finally {
    lease.end();
  }
}

/** Waits for both even when one fails: as long as either is under way its buffer belongs to it. */
async function both<T>(filled: Promise<T> | undefined, written: Promise<void>): Promise<[T | undefined]> {
  const [fill, writing] = await Promise.allSettled([filled, written]);
  if (writing.status === 'rejected') throw writing.reason;
  if (fill.status === 'rejected') throw fill.reason;
  return [fill.value];
}

/** Resolves when the kernel has taken all of it. */
function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) {
      reject(new ResponseClosed());
      return;
    }
    const closed = () => reject(new ResponseClosed());
    response.once('close', closed);
    response.write(bytes, (error) => {
      response.off('close', closed);
      if (error) reject(new ResponseClosed());
      else resolve();
    });
  });
}

/** The buffers of one process for sending, kept for the next transfer when one ends. */
export class Buffers {
  readonly #budget: TransferBudget;
  readonly #idleSmall: Buffer[] = [];
  readonly #idleLarge: Buffer[] = [];

  constructor(budget: TransferBudget) {
    this.#budget = budget;
  }

  lease(size: number): BufferLease {
    return new BufferLease(this, size);
  }

  takeSmall(): Buffer {
    return this.#idleSmall.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES);
  }

  /** Undefined when the budget has none left. */
  takeLarge(): Buffer | undefined {
    if (!this.#budget.take(LARGE_BYTES)) return undefined;
    return this.#idleLarge.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES);
  }

  giveSmall(buffer: Buffer): void {
    if (this.#idleSmall.length < 16) this.#idleSmall.push(buffer);
  }

  giveLarge(buffer: Buffer): void {
    this.#budget.give(LARGE_BYTES);
    if (this.#idleLarge.length < 8) this.#idleLarge.push(buffer);
  }
}

/**
 * The buffers of one transfer: a large one, and a second once it has shown that it is a fast one. Without a budget for
 * them, or for a slow client, a small one.
 */
class BufferLease {
  readonly first: Buffer;
  readonly #pool: Buffers;
  readonly #size: number;
  readonly #large: Buffer[] = [];
  #small: Buffer | undefined;
  #isSlow = false;

  constructor(pool: Buffers, size: number) {
    this.#pool = pool;
    this.#size = size;
    const large = size > SMALL_BYTES ? pool.takeLarge() : undefined;
    if (large !== undefined) this.#large.push(large);
    this.first = large ?? this.#takeSmall();
  }

  /** A buffer to fill while `used` is under way, if there is one. */
  spare(used: Buffer, sent: number): Buffer | undefined {
    if (this.#isSlow) return undefined;
    if (this.#large.length < 2 && sent >= DOUBLE_AFTER_BYTES && this.#size - sent > LARGE_BYTES) {
      const large = this.#pool.takeLarge();
      if (large !== undefined) this.#large.push(large);
    }
    return this.#large.find((buffer) => buffer !== used);
  }

  /** The buffer to fill after `used` went out and nothing was filled meanwhile. */
  next(used: Buffer): Buffer {
    if (!this.#isSlow || this.#large.length === 0) return used;
    for (const buffer of this.#large.splice(0)) this.#pool.giveLarge(buffer);
    return this.#takeSmall();
  }

  /** From now on this transfer makes do with a small buffer. */
  slow(): void {
    this.#isSlow = true;
  }

  end(): void {
    if (this.#small !== undefined) this.#pool.giveSmall(this.#small);
    for (const buffer of this.#large) this.#pool.giveLarge(buffer);
  }

  #takeSmall(): Buffer {
    this.#small ??= this.#pool.takeSmall();
    return this.#small;
  }
}
