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
    const certain = this.#writes.filter((write) => write.acknowledged);
    const latestStart = Math.max(...certain.map((write) => write.startedAt));
    return new Set(this.#writes.filter((write) => write.endedAt >= latestStart).map((write) => write.value));
  }

  /** The only value that may be found; undefined also when there are several. */
  certain(): Value {
    if (this.#writes.length === 1) return this.#writes[0]?.value;
    const allowed = this.allowed();
    return allowed.size === 1 ? [...allowed][0] : undefined;
  }

  /** It was looked at after all writes had ended: from now on nothing else may be found. */
  settle(value: Value): void {
    this.#writes = [{ value, startedAt: ++clock, endedAt: clock, acknowledged: true }];
    this.#isSettled = true;
  }

  /** Nobody wrote since it was looked at. */
  get isSettled(): boolean {
    return this.#isSettled;
  }
}
