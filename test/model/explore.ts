/** One atomic step of one process, from a state to the next one. */
export interface Step<S> {
  readonly name: string;
  readonly next: S;
}

/** What a system can do, and what must never be. */
export interface Model<S> {
  readonly start: S;
  steps(state: S): Iterable<Step<S>>;
  /** Undefined in a state where nothing is wrong. */
  violation(state: S): string | undefined;
}

export interface Exploration {
  /** How many different states there are. */
  readonly states: number;
  /** The shortest way to a state where something is wrong, step by step, and what that is. */
  readonly counterexample: { readonly steps: readonly string[]; readonly wrong: string } | undefined;
}

/** Looks at every state that can be reached in whatever order the processes take their steps. */
export function explore<S>(model: Model<S>): Exploration {
  const cameFrom = new Map<string, { readonly before: string; readonly step: string } | undefined>();
  const key = (state: S) => JSON.stringify(state);
  let frontier: S[] = [model.start];
  cameFrom.set(key(model.start), undefined);
  while (frontier.length > 0) {
    const next: S[] = [];
    for (const state of frontier) {
      const wrong = model.violation(state);
      if (wrong !== undefined) {
        return { states: cameFrom.size, counterexample: { steps: wayTo(key(state), cameFrom), wrong } };
      }
      for (const step of model.steps(state)) {
        const id = key(step.next);
        if (cameFrom.has(id)) continue;
        cameFrom.set(id, { before: key(state), step: step.name });
        next.push(step.next);
      }
    }
    frontier = next;
  }
  return { states: cameFrom.size, counterexample: undefined };
}

type Origins = ReadonlyMap<string, { readonly before: string; readonly step: string } | undefined>;

function wayTo(state: string, cameFrom: Origins): readonly string[] {
  const steps: string[] = [];
  for (let origin = cameFrom.get(state); origin !== undefined; origin = cameFrom.get(origin.before)) {
    steps.unshift(origin.step);
  }
  return steps;
}
