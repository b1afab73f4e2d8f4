import type { Model } from './explore.ts';

const WAY_SHOWN = 12;

/**
 * Follows what a program does in a model of it: which states the model may be in, given all that was seen so far.
 *
 * Between two things that are seen the model may take any number of steps that cannot be seen, and exactly one that can.
 */
export class Following<S, Seen> {
  readonly #model: Model<S>;
  readonly #seenOf: (state: S) => Seen;
  readonly #names = new Set<string>();
  #states: readonly S[];
  #last: string;
  /** The steps before, for whoever has to find out what went wrong. */
  #way: readonly string[] = [];

  constructor(model: Model<S>, seenOf: (state: S) => Seen) {
    this.#model = model;
    this.#seenOf = seenOf;
    this.#states = [model.start];
    this.#last = JSON.stringify(seenOf(model.start));
  }

  /** The names of all steps that may have been the ones that were seen. */
  get names(): ReadonlySet<string> {
    return this.#names;
  }

  /** @throws Error when the model has no such step */
  see(seen: Seen): void {
    const next = JSON.stringify(seen);
    if (next === this.#last) return;
    const found = new Map<string, S>();
    const taken = new Set<string>();
    for (const state of this.#withUnseen()) {
      for (const { name, next: after } of this.#model.steps(state)) {
        if (JSON.stringify(this.#seenOf(after)) !== next) continue;
        found.set(JSON.stringify(after), after);
        this.#names.add(name);
        taken.add(name);
      }
    }
    if (found.size === 0) {
      const way = this.#way.join('\n');
      throw new Error(`the model has no step from\n${this.#last}\nto\n${next}\nafter\n${way}`);
    }
    this.#way = [...this.#way.slice(1 - WAY_SHOWN), `${[...taken].join(' or ')}: ${next}`];
    this.#states = [...found.values()];
    this.#last = next;
  }

  /** Every state that can be reached from here by steps that cannot be seen. */
  #withUnseen(): Iterable<S> {
    const reached = new Map(this.#states.map((state) => [JSON.stringify(state), state]));
    const left = [...this.#states];
    for (let state = left.pop(); state !== undefined; state = left.pop()) {
      for (const { next } of this.#model.steps(state)) {
        const key = JSON.stringify(next);
        if (reached.has(key) || JSON.stringify(this.#seenOf(next)) !== this.#last) continue;
        reached.set(key, next);
        left.push(next);
      }
    }
    return reached.values();
  }
}
