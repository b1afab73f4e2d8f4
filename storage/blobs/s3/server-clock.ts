const WINDOW_MS = 120_000;
const SECOND_MS = 1000;
// Some servers make the header once a second, or a little less often when they are busy.
const STALE_HEADER_MS = 2000;
// Two clocks of which one is being adjusted drift apart by half of that at most.
const DRIFT = 0.001;

/** What the answers of one second said, as differences between the server's time and ours, in milliseconds. */
interface Sample {
  readonly at: number;
  /** The server's time is later by this much or more. */
  readonly least: number;
  /** The server's time is later by this much or less. */
  readonly most: number;
}

/**
 * What time it is at a server, from the `Date` of its answers (RFC 9110 section 6.6.1). It never says a later time than
 * the server would, as far as the answers of the last two minutes tell; an earlier one by up to a second, and the way of
 * an answer. Where answers contradict each other by seconds, because the clock was set or several servers answer, the
 * earliest time holds.
 */
export class ServerClock {
  readonly #now: () => number;
  #samples: readonly Sample[] = [];

  /** @param now milliseconds of a clock that never goes back and that nobody sets */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A moment of this machine, for `observe`. */
  moment(): number {
    return this.#now();
  }

  /**
   * @param date the header; what is no date says nothing
   * @param sentAt the `moment` before the request
   */
  observe(date: string | undefined, sentAt: number): void {
    const second = Date.parse(date ?? '');
    if (Number.isNaN(second)) return;
    const at = this.#now();
    this.#add({ at, least: second - at, most: second + SECOND_MS + STALE_HEADER_MS - sentAt });
  }

  /** In milliseconds since 1970; undefined when the last answer came more than two minutes ago. */
  time(): number | undefined {
    const now = this.#now();
    const recent = this.#recent(now);
    if (recent.length === 0) return undefined;
    const least = Math.max(...recent.map((sample) => sample.least - (now - sample.at) * DRIFT));
    const most = Math.min(...recent.map((sample) => sample.most));
    return now + Math.min(least, most);
  }

  #add({ at, least, most }: Sample): void {
    const recent = this.#recent(at);
    const last = recent.at(-1);
    if (last === undefined || at - last.at >= SECOND_MS) this.#samples = [...recent, { at, least, most }];
    else {
      const merged = { at: last.at, least: Math.max(last.least, least), most: Math.min(last.most, most) };
      this.#samples = [...recent.slice(0, -1), merged];
    }
  }

  #recent(now: number): readonly Sample[] {
    return this.#samples.filter(({ at }) => now - at <= WINDOW_MS);
  }
}
