/** How an object is copied within the server: by one request, or in pieces, several at once. */
export type CopyWay = 'whole' | 'pieces';

/** Too fast to be a copy of bytes, in bytes a millisecond: the server notes where they lie. Pieces cannot be faster. */
const BY_REFERENCE = (2 * 1024 ** 3) / 1000;
const TRIED_AGAIN_AFTER = 32;

/**
 * Which way is the faster one with this server, as seen so far. radosgw copies a whole object by reference, and each piece byte
 * by byte, which takes it ten times as long; what moves bytes for both moves pieces side by side.
 */
export class CopyWays {
  /** Bytes a millisecond, of the last copy of each way. */
  readonly #rates = new Map<CopyWay, number>();
  #sinceTried = 0;

  /** Whether the server was seen to copy by reference. */
  get isByReference(): boolean {
    return (this.#rates.get('whole') ?? 0) >= BY_REFERENCE;
  }

  choose(): CopyWay {
    const whole = this.#rates.get('whole');
    const pieces = this.#rates.get('pieces');
    if (whole === undefined || this.isByReference) return 'whole';
    if (pieces === undefined) return 'pieces';
    const [better, other]: [CopyWay, CopyWay] = pieces > whole ? ['pieces', 'whole'] : ['whole', 'pieces'];
    this.#sinceTried = (this.#sinceTried + 1) % TRIED_AGAIN_AFTER;
    // What a busy hour taught does not hold for ever.
    return this.#sinceTried === 0 ? other : better;
  }

  /** @param ms that the copy took */
  learn(way: CopyWay, bytes: number, ms: number): void {
    this.#rates.set(way, bytes / Math.max(ms, 1));
  }
}
