/** What a name in the registry stands for at a time: a digest, `present`, or nothing. */
export type Value = string | undefined;

/** An attempt to change a register. */
export interface Write {
  readonly value: Value;
  readonly startedAt: number;
  /** Infinity while it is under way, and for ever when nobody can say whether it happened. */
  endedAt: number;
  acknowledged: boolean;
}

let clock = 0;

/**
 * One name that clients write to, perhaps several at once, with what may be found under it.
 *
 * A value may be found unless another write was acknowledged that began after the value's own write had ended: an order
 * of the writes that explains it then exists.
 */
export class Register {
  #writes: Write[] = [{ value: undefined, startedAt: -1, endedAt: -1, acknowledged: true }];
  #isSettled = false;

  begin(value: Value): Write {
    const write = { value, startedAt: ++clock, endedAt: Infinity, acknowledged: false };
    this.#writes.push(write);
    this.#isSettled = false;
    return write;
  }

  acknowledge(write: Write): void {
    write.endedAt = ++clock;
    write.acknowledged = true;
  }

  /** The server said that it did not do it. */
  refuse(write: Write): void {
    this.#writes = this.#writes.filter((each) => each !== write);
  }

  allowed(): ReadonlySet<Value> {
    return new Set(this.#possible().map((write) => write.value));
  }

  #possible(): readonly Write[] {
    const certain = this.#writes.filter((write) => write.acknowledged);
    const latestStart = Math.max(...certain.map((write) => write.startedAt));
    return this.#writes.filter((write) => write.endedAt >= latestStart);
  }

  /** The only value that may be found; undefined also when there are several. */
  certain(): Value {
    if (this.#writes.length === 1) return this.#writes[0]?.value;
    const allowed = this.allowed();
    return allowed.size === 1 ? [...allowed][0] : undefined;
  }

  /**
   * It was looked at while nobody wrote: from now on nothing else may be found.
   *
   * @param pending whether a write of which nobody knows the outcome can still happen: not when everything that could
   *   carry it out is dead. Where it can, it still cannot undo what is acknowledged from now on
   */
  settle(value: Value, pending: 'dead' | 'alive' = 'dead'): void {
    const possible = pending === 'dead' ? [] : this.#possible();
    const kept = possible.filter((write) => !write.acknowledged && write.value !== value);
    const seen = { value, startedAt: ++clock, endedAt: clock, acknowledged: true };
    const limit = ++clock;
    this.#writes = [seen, ...kept.map((write) => ({ ...write, endedAt: limit }))];
    this.#isSettled = kept.length === 0;
  }

  /** Nobody wrote since it was looked at. */
  get isSettled(): boolean {
    return this.#isSettled;
  }
}
