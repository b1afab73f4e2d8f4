import { RegistryError } from '../../oci/errors.ts';

/** Bytes on their way, as the watchdog sees them. */
export interface Transfer {
  /** Bytes moved so far. */
  progress(): number;
  /** True while the other side could not do anything about it: the store is slow, not the network. */
  isWaitingForUs(): boolean;
  stalled(error: RegistryError): void;
}

export interface MinimumRate {
  readonly bytesPerSecond: number;
  readonly overMs: number;
}

interface Watched {
  since: number;
  bytes: number;
}

const LOOK_EVERY_MS = 1_000;

/** Ends request bodies that trickle in more slowly than the minimum rate. One timer for all of them. */
export class Watchdog {
  readonly #rate: MinimumRate;
  readonly #watched = new Map<Transfer, Watched>();
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(rate: MinimumRate) {
    this.#rate = rate;
    if (rate.bytesPerSecond > 0) {
      this.#timer = setInterval(() => this.#look(), Math.min(LOOK_EVERY_MS, rate.overMs)).unref();
    }
  }

  watch(transfer: Transfer): void {
    this.#watched.set(transfer, { since: performance.now(), bytes: transfer.progress() });
  }

  unwatch(transfer: Transfer): void {
    this.#watched.delete(transfer);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = performance.now();
    for (const [transfer, window] of this.#watched) {
      const bytes = transfer.progress();
      const enough = (this.#rate.bytesPerSecond * this.#rate.overMs) / 1000;
      if (transfer.isWaitingForUs() || bytes - window.bytes >= enough) {
        window.since = now;
        window.bytes = bytes;
      } else if (now - window.since >= this.#rate.overMs) {
        this.#watched.delete(transfer);
        transfer.stalled(this.#tooSlow());
      }
    }
  }

  #tooSlow(): RegistryError {
    const { bytesPerSecond, overMs } = this.#rate;
    const reason = `the body came at less than ${bytesPerSecond} bytes a second over ${overMs / 1000} s`;
    return new RegistryError('BLOB_UPLOAD_INVALID', { status: 408, detail: { reason } });
  }
}
