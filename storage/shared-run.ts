/**
 * Work that many ask for at the same time and that one run does for all of them: an fsync puts on the disk whatever was
 * written before it began.
 */
export class SharedRun {
  readonly #work: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(work: () => Promise<void>) {
    this.#work = work;
  }

  /** Settles as the first run does that begins after this call; the one under way may have begun too early. */
  join(): Promise<void> {
    this.#next ??= this.settled().then(() => this.#begin());
    return this.#next;
  }

  /** Resolves when nothing runs that had begun by now; another may have begun meanwhile. */
  async settled(): Promise<void> {
    await this.#running?.catch(() => {});
  }

  get isIdle(): boolean {
    return this.#running === undefined && this.#next === undefined;
  }

  #begin(): Promise<void> {
    this.#next = undefined;
    const run = this.#work().finally(() => {
      if (this.#running === run) this.#running = undefined;
    });
    this.#running = run;
    return run;
  }
}
