// Nobody who waits should have to wait for a client that has gone to sleep, nor for long for one on a slow line.
const IDLE_MS = 3_000;
const LONGEST_MS = 20_000;
const LOOK_MS = 1_000;

/**
 * The memory that all uploads of a process may hold for parts on their way, in shares of one size. Each upload has one
 * share as long as it holds bytes, and further ones only while nobody waits for a first: so nobody waits for somebody who
 * waits. While somebody waits, those who make no use of theirs, or have had it for long, are asked to give it back.
 */
export class PartMemory {
  readonly #shares: number;
  readonly #shareBytes: number;
  readonly #now: () => number;
  readonly #taken = new Set<TakenShare>();
  readonly #waiting: ((share: TakenShare) => void)[] = [];
  /** Of shares that were given back: what is not asked of the system again has its pages already. */
  #spare: Buffer[] = [];
  #watch: NodeJS.Timeout | undefined;

  /** @param now milliseconds of a clock that never goes back */
  constructor(bytes: number, shareBytes: number, now: () => number = () => performance.now()) {
    this.#shares = Math.max(1, Math.floor(bytes / shareBytes));
    this.#shareBytes = shareBytes;
    this.#now = now;
  }

  /** Waits for a share; in the order of the calls. */
  async take(): Promise<Share> {
    if (this.#taken.size < this.#shares) return this.#share();
    this.#watch ??= setInterval(() => this.askBack(), LOOK_MS).unref();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /**
   * Asks for the shares of those who sleep or are slow, if somebody waits: as many as are needed, the longest idle first.
   * Runs by itself every second.
   */
  askBack(): void {
    const now = this.#now();
    const lazy = [...this.#taken].filter(({ canBeAsked, since, usedAt }) => {
      return canBeAsked && (now - usedAt >= IDLE_MS || now - since >= LONGEST_MS);
    });
    for (const share of lazy.sort((a, b) => a.usedAt - b.usedAt).slice(0, this.#waiting.length)) share.ask();
  }

  #share(): TakenShare {
    const share: TakenShare = new TakenShare(this.#now, {
      room: () => this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#shareBytes),
      back: (buffer) => this.#back(share, buffer),
    });
    this.#taken.add(share);
    return share;
  }

  #back(share: TakenShare, buffer: Buffer | undefined): void {
    if (!this.#taken.delete(share)) return;
    if (buffer !== undefined) this.#spare.push(buffer);
    this.#waiting.shift()?.(this.#share());
    if (this.#waiting.length === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    // Nobody uploads anything.
    if (this.#taken.size === 0) this.#spare = [];
  }
}

/** The right to hold as many bytes as its buffer has. */
export interface Share {
  /** Made when it is first asked for: few bytes need none. */
  readonly buffer: Buffer;
  /** Its holder makes progress. */
  use(): void;
  /** How its holder can be asked for it, in whose hands it is whether to give it back; undefined: not at all. */
  onAsked(work: (() => void) | undefined): void;
  /**
   * Does nothing the second time.
   *
   * @param isUnused nobody has the buffer any more, not even a connection that broke: others are given it
   */
  giveBack(isUnused: boolean): void;
}

interface Owner {
  room(): Buffer;
  back(buffer: Buffer | undefined): void;
}

class TakenShare implements Share {
  readonly #now: () => number;
  readonly #owner: Owner;
  #buffer: Buffer | undefined;
  #onAsked: (() => void) | undefined;
  /** When it was taken, or asked for last. */
  since: number;
  usedAt: number;

  constructor(now: () => number, owner: Owner) {
    this.#now = now;
    this.#owner = owner;
    this.since = now();
    this.usedAt = this.since;
  }

  get buffer(): Buffer {
    return (this.#buffer ??= this.#owner.room());
  }

  get canBeAsked(): boolean {
    return this.#onAsked !== undefined;
  }

  use(): void {
    this.usedAt = this.#now();
  }

  onAsked(work: (() => void) | undefined): void {
    this.#onAsked = work;
  }

  ask(): void {
    this.since = this.#now();
    this.usedAt = this.since;
    this.#onAsked?.();
  }

  giveBack(isUnused: boolean): void {
    this.#onAsked = undefined;
    this.#owner.back(isUnused ? this.#buffer : undefined);
  }
}
