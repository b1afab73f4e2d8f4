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
  // The schema leaves it out without a word, and a claim that nobody asks for is one that everybody has.
  const inherited = inheritedKeys(raw.values).map(({ path }) => inheritedFault(path, raw.originOf));
  const settings = settingsSchema.parse(faulty.reduce(withoutValue, raw.values));
  const clashes = raw.isComplete ? contradictions(settings, raw.originOf, options).filter(isApartFrom(faulty)) : [];
  return { settings, faults: [...raw.faults, ...faults, ...inherited, ...clashes.map(({ fault }) => fault)] };
}

/** Whether a contradiction is between keys of which none is faulty, nor in a faulty section. */
function isApartFrom(faulty: readonly (readonly string[])[]): (contradiction: Contradiction) => boolean {
  const paths = faulty.map((path) => path.join('.'));
  return ({ keys }) => !keys.some((key) => paths.some((path) => key === path || key.startsWith(`${path}.`)));
}

const INHERITED = '__proto__';

/** Where a key stands that no object can have. */
function inheritedKeys(value: unknown, path = ''): readonly { readonly path: string }[] {
  if (typeof value !== 'object' || value === null) return [];
  const own = Object.hasOwn(value, INHERITED) ? [{ path: path === '' ? INHERITED : `${path}.${INHERITED}` }] : [];
  const inner = Object.entries(value).flatMap(([name, each]) =>
    name === INHERITED ? [] : inheritedKeys(each, path === '' ? name : `${path}.${name}`),
  );
  return [...own, ...inner];
}

function inheritedFault(path: string, originOf: RawSettings['originOf']): ConfigFault {
  return {
    path,
    origin: originOf(path.split('.')[0] ?? ''),
    wrong: 'no key can have this name',
    instead: 'Use another.',
  };
}
