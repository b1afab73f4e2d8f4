import type { TransferBudget } from './transfer-budget.ts';

const SMALL_BYTES = 64 * 1024;
const LARGE_BYTES = 1024 * 1024;
// A write for no other reason than to hear when there is room again.
const PROBE_BYTES = 8 * 1024;
const IDLE_SMALL = 16;
// What a socket takes at once says nothing about the client: the kernel's buffer is that large. Only behind it a
// transfer has shown that it is worth a second large buffer.
const DOUBLE_AFTER_BYTES = 8 * 1024 * 1024;

/** The buffers of one process for sending, kept for the next transfer when one ends. */
export class Buffers {
  readonly #budget: TransferBudget;
  readonly #idleSmall: Buffer[] = [];
  readonly #idleProbes: Buffer[] = [];
  readonly #idleLarge: Buffer[] = [];
  /** How many large ones were idle at every moment since the last `trim`. */
  #unneeded = 0;

  constructor(budget: TransferBudget) {
    this.#budget = budget;
  }

  lease(size: number): BufferLease {
    return new BufferLease(this, size);
  }

  takeSmall(): Buffer {
    return this.#idleSmall.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES);
  }

  takeProbe(): Buffer {
    return this.#idleProbes.pop() ?? Buffer.allocUnsafeSlow(PROBE_BYTES);
  }

  giveProbe(buffer: Buffer): void {
    if (this.#idleProbes.length < IDLE_SMALL) this.#idleProbes.push(buffer);
  }

  /** A transfer that has shown nothing yet gets a large one only while more than half of the budget is free. */
  takeFirst(): Buffer | undefined {
    return this.#budget.isHalfFree ? this.takeLarge() : undefined;
  }

  /** Undefined when the budget has none left. */
  takeLarge(): Buffer | undefined {
    if (!this.#budget.take(LARGE_BYTES)) return undefined;
    const buffer = this.#idleLarge.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES);
    this.#unneeded = Math.min(this.#unneeded, this.#idleLarge.length);
    return buffer;
  }

  giveSmall(buffer: Buffer): void {
    if (this.#idleSmall.length < IDLE_SMALL) this.#idleSmall.push(buffer);
  }

  giveLarge(buffer: Buffer): void {
    this.#budget.give(LARGE_BYTES);
    this.#idleLarge.push(buffer);
  }

  /** Lets go of the large buffers that nobody has needed since the last call; called from time to time. */
  trim(): void {
    this.#idleLarge.splice(0, this.#unneeded);
    this.#unneeded = this.#idleLarge.length;
  }
}

/**
 * The buffers of one transfer: a large one, and a second once it has shown that it is a fast one. Without a budget for
 * them, or for a slow client, a small one.
 */
export class BufferLease {
  readonly first: Buffer;
  readonly #pool: Buffers;
  readonly #size: number;
  readonly #large: Buffer[] = [];
  #small: Buffer | undefined;
  #isSlow = false;

  constructor(pool: Buffers, size: number) {
    this.#pool = pool;
    this.#size = size;
    const large = size > SMALL_BYTES ? pool.takeFirst() : undefined;
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
