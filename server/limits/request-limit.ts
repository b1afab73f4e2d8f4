import { formatRate, type Rate } from '../../config/quantity.ts';
import { Buckets } from './buckets.ts';
import { isTooMany } from './refusal.ts';

export interface RequestLimitParts {
  readonly rate: Rate;
  /** Its key in the configuration. */
  readonly setting: string;
  readonly now: () => number;
  /** Told of each request that passes. */
  readonly onPassed: (key: string) => void;
  /** Told of each that does not. */
  readonly onRefused: () => void;
}

/** So many requests within so long, for each key: an address, or an account. */
export class RequestLimit {
  readonly #parts: RequestLimitParts;
  readonly #buckets: Buckets;

  constructor(parts: RequestLimitParts) {
    this.#parts = parts;
    this.#buckets = new Buckets(parts.rate, parts.now);
  }

  /** @throws RegistryError `TOOMANYREQUESTS` with the time after which the next one is possible */
  count(key: string): void {
    const { rate, setting, onPassed, onRefused } = this.#parts;
    const waitMs = this.#buckets.take(key);
    if (waitMs === 0) return onPassed(key);
    onRefused();
    const words = formatRate(rate);
    const reason = `more than ${words} requests of ${key}: wait, or ask who runs this registry for more (${setting})`;
    throw isTooMany(reason, waitMs);
  }

  /** Counts requests that another worker let pass. */
  spend(key: string, count: number): void {
    this.#buckets.spend(key, count);
  }
}
