import { contradictions, type Contradiction, type ReadOptions } from './contradictions.ts';
import type { ConfigFault } from './fault.ts';
import type { RawSettings } from './read.ts';
import { settingsSchema, type Settings } from './schema.ts';
import { withoutValue } from './section.ts';
import { valueFaults } from './value-faults.ts';

/** Settings as far as they make sense; whoever uses them looks at the faults first. */
export interface CheckedSettings {
  readonly settings: Settings;
  /** Every fault there is, also those of reading. */
  readonly faults: readonly ConfigFault[];
}

/** Checks every key by itself, and those without a fault against each other. */
export function validateSettings(raw: RawSettings, options: ReadOptions = {}): CheckedSettings {
  const { faults, faulty } = valueFaults(settingsSchema, raw);
  const settings = settingsSchema.parse(faulty.reduce(withoutValue, raw.values));
  const clashes = raw.isComplete ? contradictions(settings, raw.originOf, options).filter(isApartFrom(faulty)) : [];
  return { settings, faults: [...raw.faults, ...faults, ...clashes.map(({ fault }) => fault)] };
}

/** Whether a contradiction is between keys of which none is faulty, nor in a faulty section. */
function isApartFrom(faulty: readonly (readonly string[])[]): (contradiction: Contradiction) => boolean {
  const paths = faulty.map((path) => path.join('.'));
  return ({ keys }) => !keys.some((key) => paths.some((path) => key === path || key.startsWith(`${path}.`)));
}
