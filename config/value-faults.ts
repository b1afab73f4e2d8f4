import type { z } from 'zod';
import { shown, type ConfigFault } from './fault.ts';
import { settingKeys, type SettingKey } from './keys.ts';
import type { RawSettings } from './read.ts';
import { isSection, type Section } from './section.ts';
import { closest } from './suggestion.ts';

/** What is wrong with keys by themselves. */
export interface ValueFaults {
  readonly faults: readonly ConfigFault[];
  /** The paths without which the schema takes the rest. */
  readonly faulty: readonly (readonly string[])[];
}

/** Holds what was written against the schema. */
export function valueFaults(schema: z.ZodType, raw: Pick<RawSettings, 'values' | 'originOf'>): ValueFaults {
  const keys = settingKeys(schema);
  const issues = schema.safeParse(raw.values).error?.issues ?? [];
  const faults = issues.flatMap((issue) => faultsOf(issue, raw, keys));
  return { faults: distinct(faults), faulty: issues.flatMap(pathsOf) };
}

type Issue = z.core.$ZodIssue;

/** The keys to leave out so that the issue is gone: of a list the whole list. */
function pathsOf(issue: Issue): string[][] {
  const path = issue.path.filter((name) => typeof name === 'string');
  return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path];
}

/** Where the keys stand, the places in lists included. */
function placesOf(issue: Issue): PropertyKey[][] {
  return issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
}

function faultsOf(
  issue: Issue,
  raw: Pick<RawSettings, 'values' | 'originOf'>,
  keys: readonly SettingKey[],
): ConfigFault[] {
  const inLists = placesOf(issue);
  return pathsOf(issue).map((names, index) => {
    const path = names.join('.');
    const place = inLists[index] ?? names;
    const origin = raw.originOf(place.join('.'));
    const shownPath = place.join('.').replaceAll(/\.(\d+)(?=\.|$)/g, '[$1]');
    if (issue.code === 'unrecognized_keys') return { path: shownPath, origin, ...unknownKey(path, keys) };
    const isSecret = keys.some((key) => key.secret && key.path === path);
    const value = valueAt(raw.values, issue.path);
    const wrong = value === undefined ? 'it is missing' : `${isSecret ? 'this value' : shown(value)} will not do`;
    return { path: shownPath, origin, wrong, instead: `Write ${issue.message}.` };
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
