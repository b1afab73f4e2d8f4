/**
 * The right of a process to change the store, which ends by itself: a store that heeds it refuses what comes later, whoever
 * sends it.
 */
export interface Fence {
  /** How long its holder may still change the store, in milliseconds; 0 or less: no more, for good. */
  leftMs(): number;
}
