import { setFlagsFromString } from 'node:v8';

/**
 * For a process that takes request bodies, before it does.
 *
 * Each 64 KiB of a body is a buffer outside of V8's heap. V8 has a limit of its own for such memory and collects the whole
 * heap at each 20 MiB or so, though it is small and full of what lives: 60 times for each GiB, a third of the time of an
 * upload. Counted together with the heap it collects a quarter as often, for some 30 MiB more at the peak.
 */
export function tuneHeap(): void {
  setFlagsFromString('--external-memory-accounted-in-global-limit');
}

let sparing = 0;

/**
 * Does long work that goes through much more than it keeps, with little garbage lying about.
 *
 * V8 lets the heap grow to a multiple of what lived at the last collection before it collects all of it again; it asks this
 * flag each time, though it is meant for a start. A preview of 100,000 tags took 339 MiB without it, 207 MiB with it, and
 * as long. `test/unit/tune-heap` notices when that changes.
 */
export async function sparingMemory<T>(work: () => Promise<T>): Promise<T> {
  sparing += 1;
  setFlagsFromString('--optimize-for-size');
  try {
    return await work();
  } finally {
    sparing -= 1;
    if (sparing === 0) setFlagsFromString('--no-optimize-for-size');
  }
}
