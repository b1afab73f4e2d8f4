/**
 * Says how long somebody may still change a store. The store itself refuses what arrives later, however long it was on
 * its way: whoever was frozen meanwhile, or cut off, need not notice that others took over.
 */
export interface Fence {
  /** How long its holder may still change the store, in milliseconds; 0 or less: no more, for good. */
  leftMs(): number;
  /**
   * Told by the store when a change that was sent had no answer, so that it may be done later still, perhaps after one that
   * was sent for the same after it.
   *
   * @param withinMs then it is refused, if it has not come by then
   */
  unanswered?(withinMs: number): void;
}

/**
 * The fence that holds for whoever calls, asked in the caller's own asynchronous context with each request; undefined
 * where nothing has to be fenced.
 */
export type CurrentFence = () => Fence | undefined;
