/** At most 16 KiB each. */
const REMEMBERED_MAX = 2_000;
// A key that is taken away ends what it signed by then, however long that says to be good.
const REMEMBERED_MS = 5 * 60_000;

/**
 * What tokens say that were checked a moment ago: the check takes longer than all the rest of a request. Each is kept
 * until it expires, and for five minutes at most; the oldest are forgotten first.
 */
export class Remembered<T extends { readonly expiresAt: number }> {
  readonly #known = new Map<string, { readonly found: T; readonly until: number }>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** As it was found before; undefined for one that has to be checked. */
  peek(text: string): T | undefined {
    const known = this.#known.get(text);
    return known !== undefined && known.until > this.#now() ? known.found : undefined;
  }

  /** As it was found before, or as `check` finds it; undefined for what it finds to be no token, which is not kept. */
  async read(text: string, check: (text: string) => Promise<T | undefined>): Promise<T | undefined> {
    const known = this.peek(text);
    if (known !== undefined) return known;
    this.#known.delete(text);
    const checked = await check(text);
    if (checked === undefined) return undefined;
    this.#known.set(text, { found: checked, until: Math.min(checked.expiresAt, this.#now() + REMEMBERED_MS) });
    const [oldest] = this.#known.keys();
    if (this.#known.size > REMEMBERED_MAX && oldest !== undefined) this.#known.delete(oldest);
    return checked;
  }
}
