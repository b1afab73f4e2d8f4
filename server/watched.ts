export interface WatchedOptions<T> {
  /** Another text means that it has to be loaded again. */
  readonly identity: () => Promise<string>;
  readonly load: () => Promise<T>;
  readonly onChange?: (value: T) => void;
  /** Told why what changed cannot be used, once for each reason; what was there before stays. */
  readonly onFault: (error: unknown) => void;
  readonly intervalMs?: number;
}

const DEFAULT_INTERVAL_MS = 1000;

/**
 * Something that is read from elsewhere, and again when that changes.
 *
 * Looked at every second: editors, certbot and Kubernetes replace files in ways that fs.watch does not see. Does not keep
 * the process alive.
 */
export class Watched<T> {
  readonly #options: WatchedOptions<T>;
  readonly #timer: NodeJS.Timeout;
  #value: T;
  #identity: string;
  #fault: { readonly error: unknown } | undefined;
  #running: Promise<void> | undefined;

  /** @throws what `load` throws */
  static async open<T>(options: WatchedOptions<T>): Promise<Watched<T>> {
    // Before the content: what changes while it is read is read again.
    const identity = await options.identity();
    return new Watched(options, await options.load(), identity);
  }

  private constructor(options: WatchedOptions<T>, value: T, identity: string) {
    this.#options = options;
    this.#value = value;
    this.#identity = identity;
    this.#timer = setInterval(() => void this.check(), options.intervalMs ?? DEFAULT_INTERVAL_MS).unref();
  }

  /** As it is now. */
  get value(): T {
    return this.#value;
  }

  /** Why the last look failed: what is there now is not known. Undefined where it did not. */
  get fault(): { readonly error: unknown } | undefined {
    return this.#fault;
  }

  /** Looks now, as the timer does. */
  check(): Promise<void> {
    this.#running ??= this.#look().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** The same, and not what is being looked at already: for who knows that it has changed just now. */
  async checkAnew(): Promise<void> {
    await this.#running;
    await this.check();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { identity, load, onChange, onFault } = this.#options;
    try {
      const current = await identity();
      if (current !== this.#identity) {
        this.#value = await load();
        this.#identity = current;
        onChange?.(this.#value);
      }
      this.#fault = undefined;
    } catch (error) {
      if (String(error) !== String(this.#fault?.error)) onFault(error);
      this.#fault = { error };
    }
  }
}
