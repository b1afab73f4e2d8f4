import { setImmediate as nextTurn } from 'node:timers/promises';

/** To be awaited between steps that wait for nothing: requests have their turn. What it throws ends the work. */
export type Pause = () => Promise<void>;

// Far below what somebody who waits for a manifest would notice.
const TURN_MS = 5;

/** Lets others have their turn whenever this has had one for some milliseconds. */
export function createPause(): Pause {
  let since = performance.now();
  return async () => {
    if (performance.now() - since < TURN_MS) return;
    await nextTurn();
    since = performance.now();
  };
}

// Each row of some lists takes a few searches in the index, in pages that may have to be read first.
export const PAGE = 100;

/**
 * Everything in a list that is read in pages.
 *
 * @param page at most `PAGE` items behind `after`
 * @param keyOf the place of an item in the order of the list
 */
export async function* pages<T, K>(
  first: K,
  page: (after: K) => Promise<readonly T[]>,
  keyOf: (item: T) => K,
): AsyncGenerator<T> {
  for (let after = first; ;) {
    const items = await page(after);
    yield* items;
    const last = items.at(-1);
    if (last === undefined || items.length < PAGE) return;
    after = keyOf(last);
  }
}
