import path from 'node:path';
import { CONFIG_VARIABLE, readVariables } from './environment.ts';
import type { ConfigFault } from './fault.ts';
import type { ConfigFile } from './file.ts';
import { settingKeys, type SettingKey } from './keys.ts';
import { withValue, type Section } from './section.ts';
import { valueOfText, type Assignment } from './text-value.ts';

/** Where a configuration comes from. */
export interface ConfigInput {
  /** What stood on the command line, as text. */
  readonly flags?: ConfigFlags;
  /** Usually `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What relative paths start from, also those in the file; by default the working directory. */
  readonly cwd?: string;
}

/** The values of `--config`, `--address`, `--root` and `--workers`. */
export interface ConfigFlags {
  readonly config?: string | undefined;
  readonly address?: string | undefined;
  readonly root?: string | undefined;
  readonly workers?: string | undefined;
}

/** What was written, whether it makes sense or not. */
export interface RawSettings {
  /** Nested as in the file; keys that nobody set are missing. */
  readonly values: Section;
  /** Who set the key or section: `FILE:LINE`, a variable or a flag; undefined when nobody did. */
  readonly originOf: (key: string) => string | undefined;
  readonly faults: readonly ConfigFault[];
  /** False when the file could not be read, so that a missing key says nothing. */
  readonly isComplete: boolean;
}

/** Merges the file, the variables over it, and the flags over those. */
export async function readSettings(input: ConfigInput): Promise<RawSettings> {
  const { flags = {}, env = {}, cwd = process.cwd() } = input;
  const keys = settingKeys();
  const file = await readNamedFile(flags.config ?? (env[CONFIG_VARIABLE] || undefined), cwd);
  const variables = await readVariables(env, keys, cwd);
  const assignments = [...variables.assignments, ...readFlags(flags, keys)];
  return {
    values: assignments.reduce(assign, file?.values ?? {}),
    originOf: (key) => assignments.findLast((each) => each.key.path === key)?.origin ?? originInFile(file, key),
    faults: [...(file?.faults ?? []), ...variables.faults],
    isComplete: (file?.faults ?? []).length === 0,
  };
}

async function readNamedFile(name: string | undefined, cwd: string): Promise<ConfigFile | undefined> {
  if (name === undefined) return undefined;
  // YAML is parsed by a large module, and most servers start without a file.
  const { readConfigFile } = await import('./file.ts');
  return readConfigFile(path.resolve(cwd, name));
}

function readFlags(flags: ConfigFlags, keys: readonly SettingKey[]): Assignment[] {
  const texts: Readonly<Record<string, string | undefined>> = { ...flags };
  return keys.flatMap((key) => {
    const text = texts[key.path];
    return text === undefined ? [] : [{ key, value: valueOfText(key, text), origin: `--${key.path}` }];
  });
}

function originInFile(file: ConfigFile | undefined, key: string): string | undefined {
  const [first = '', ...rest] = key.split('.');
  return file !== undefined && Object.hasOwn(file.values, first) ? file.originOf([first, ...rest]) : undefined;
}

function assign(values: Section, { key, value }: Assignment): Section {
  return withValue(values, key.path.split('.'), value);
}
