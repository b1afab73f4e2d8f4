/**
 * How many bytes of buffers all transfers of a process may hold beyond what each needs at least. Who gets none goes on
 * with small buffers, so a thousand slow clients make nobody fail and nobody rich.
 */
export class TransferBudget {
  readonly #whole: number;
  #free: number;

  constructor(bytes: number) {
    this.#whole = bytes;
    this.#free = bytes;
  }

  /** Whether `bytes` were to be had; then they have to be given back. */
  take(bytes: number): boolean {
    if (this.#free < bytes) return false;
    this.#free -= bytes;
    return true;
  }

  give(bytes: number): void {
    this.#free += bytes;
  }

  get isHalfFree(): boolean {
    return this.#free * 2 > this.#whole;
  }

  get free(): number {
    return this.#free;
  }
}
