import type { Counts, SharedLimit } from './shared-counts.ts';

const LIMITS: readonly SharedLimit[] = ['address', 'account'];

// Twice as many as are told: those that came late may still be those with the most requests.
const KEPT_FOR_EACH_TOLD = 2;

/** What several workers counted, added up. Keys beyond a bound are left out: those with the fewest requests. */
export class CountSums {
  readonly #most: number;
  readonly #sums = { address: new Map<string, number>(), account: new Map<string, number>() };

  /** @param most keys of each limit that `take` gives */
  constructor(most: number) {
    this.#most = most;
  }

  add(counts: Counts): void {
    for (const limit of LIMITS) {
      const sums = this.#sums[limit];
      for (const [key, count] of counts[limit] ?? []) {
        const before = sums.get(key);
        if (before !== undefined || sums.size < this.#most * KEPT_FOR_EACH_TOLD) sums.set(key, (before ?? 0) + count);
      }
    }
  }

  /** What was added since the last time; undefined when that is nothing. */
  take(): Counts | undefined {
    const counts = { address: this.#taken('address'), account: this.#taken('account') };
    return counts.address.length + counts.account.length === 0 ? undefined : counts;
  }

  #taken(limit: SharedLimit): readonly (readonly [string, number])[] {
    const entries = [...this.#sums[limit]];
    this.#sums[limit].clear();
    if (entries.length <= this.#most) return entries;
    return entries.toSorted(([, one], [, other]) => other - one).slice(0, this.#most);
  }
}

/** What another server wrote, of any version; undefined when it is nothing of the kind. */
export function parseCounts(text: string): Counts | undefined {
  try {
    const { address, account } = JSON.parse(text) as Record<string, unknown>;
    return { address: pairsOf(address), account: pairsOf(account) };
  } catch {
    return undefined;
  }
}

function pairsOf(value: unknown): readonly (readonly [string, number])[] {
  return Array.isArray(value) ? value.filter(isPair) : [];
}

function isPair(value: unknown): value is readonly [string, number] {
  if (!Array.isArray(value)) return false;
  const [key, count] = value as readonly unknown[];
  return typeof key === 'string' && typeof count === 'number' && Number.isSafeInteger(count) && count > 0;
}
