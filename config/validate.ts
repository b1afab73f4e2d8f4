import type { z } from 'zod';
import { contradictions, type ReadOptions } from './contradictions.ts';
import { shown, type ConfigFault } from './fault.ts';
import { settingKeys, type SettingKey } from './keys.ts';
import type { RawSettings } from './read.ts';
import { settingsSchema, type Settings } from './schema.ts';
import { isSection, withoutValue, type Section } from './section.ts';
import { closest } from './suggestion.ts';

/** Settings as far as they make sense; whoever uses them looks at the faults first. */
export interface CheckedSettings {
  readonly settings: Settings;
  /** Every fault there is, also those of reading. */
  readonly faults: readonly ConfigFault[];
}

/** Checks every key by itself, and those without a fault against each other. */
export function validateSettings(raw: RawSettings, options: ReadOptions = {}): CheckedSettings {
  const keys = settingKeys();
  const result = settingsSchema.safeParse(raw.values);
  const issues = result.error?.issues ?? [];
  const faults = issues.flatMap((issue) => faultsOf(issue, raw, keys));
  const faulty = issues.flatMap(pathsOf);
  const settings = result.data ?? settingsSchema.parse(faulty.reduce(withoutValue, raw.values));
  const clashes = raw.isComplete ? contradictions(settings, raw.originOf, options).filter(isAbout(faulty)) : [];
  return { settings, faults: [...raw.faults, ...distinct(faults), ...clashes.map(({ fault }) => fault)] };
}

/** Whether a contradiction is between keys of which none is faulty, nor in a faulty section. */
function isAbout(faulty: readonly (readonly string[])[]): (contradiction: { keys: readonly string[] }) => boolean {
  const paths = faulty.map((path) => path.join('.'));
  return ({ keys }) => !keys.some((key) => paths.some((path) => key === path || key.startsWith(`${path}.`)));
}

type Issue = z.core.$ZodIssue;

/** The keys to leave out so that the issue is gone: of a list the whole list. */
function pathsOf(issue: Issue): string[][] {
  const path = issue.path.filter((name) => typeof name === 'string');
  return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path];
}

function faultsOf(issue: Issue, raw: RawSettings, keys: readonly SettingKey[]): ConfigFault[] {
  return pathsOf(issue).map((names) => {
    const path = names.join('.');
    const origin = raw.originOf(path);
    if (issue.code === 'unrecognized_keys') return { path, origin, ...unknownKey(path, keys) };
    const isSecret = keys.some((key) => key.secret && key.path === path);
    const value = isSecret ? 'this value' : shown(valueAt(raw.values, issue.path));
    return { path, origin, wrong: `${value} will not do`, instead: `Write ${issue.message}.` };
  });
}

function unknownKey(path: string, keys: readonly SettingKey[]): Pick<ConfigFault, 'wrong' | 'instead'> {
  const sections = new Set(keys.flatMap((key) => key.path.split('.').slice(0, -1)));
  const meant = closest(path, [...keys.map((key) => key.path), ...sections]) ?? sameName(path, keys);
  return {
    wrong: 'there is no such key',
    instead: meant === undefined ? 'Remove it, or see docs/configuration.md for its name.' : `Did you mean ${meant}?`,
  };
}

/** A key of the same name in another section. */
function sameName(path: string, keys: readonly SettingKey[]): string | undefined {
  const name = path.split('.').at(-1);
  return keys.find((key) => key.path.split('.').at(-1) === name)?.path;
}

function valueAt(values: Section, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, name) => {
    if (Array.isArray(value)) return value[Number(name)];
    return isSection(value) ? value[String(name)] : undefined;
  }, values);
}

/** The first fault of each key: a value that fails two rules is told once what would do. */
function distinct(faults: readonly ConfigFault[]): ConfigFault[] {
  return faults.filter((fault, index) => faults.findIndex(({ path }) => path === fault.path) === index);
}
