import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, type ConfigFault } from './fault.ts';
import { VARIABLE_PREFIX, type SettingKey } from './keys.ts';
import { closest } from './suggestion.ts';
import { valueOfText, type Assignment } from './text-value.ts';

export const CONFIG_VARIABLE = 'ENTREPOT_CONFIG';

/** What the variables say. */
export interface Variables {
  readonly assignments: readonly Assignment[];
  readonly faults: readonly ConfigFault[];
}

type Environment = Readonly<Record<string, string | undefined>>;

// Kubernetes sets these in every pod beside a Service named "entrepot"; nobody configured anything by them.
const SERVICE_LINK =
  /^ENTREPOT_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

// The project's own tests.
const TEST_VARIABLE = /^ENTREPOT_TEST_/;

/**
 * Reads every `ENTREPOT_*` variable. An empty one counts as not set: that is what a compose file makes of `${UNSET}`.
 *
 * `ENTREPOT_X_FILE` names a file with the value of `ENTREPOT_X`, one line end after it dropped.
 */
export async function readVariables(env: Environment, keys: readonly SettingKey[], cwd: string): Promise<Variables> {
  const assignments: Assignment[] = [];
  const faults = [...unknownVariables(env, keys)];
  for (const key of keys) {
    const found = await readVariable(env, key, cwd);
    if (found === undefined) continue;
    if ('wrong' in found) faults.push(found);
    else assignments.push(found);
  }
  return { assignments, faults };
}

async function readVariable(
  env: Environment,
  key: SettingKey,
  cwd: string,
): Promise<Assignment | ConfigFault | undefined> {
  const fileVariable = fileVariableOf(key);
  const [text = '', file = ''] = [env[key.variable], env[fileVariable]];
  if (file === '') return text === '' ? undefined : assignment(key, text, key.variable);
  if (text !== '') {
    return {
      path: key.path,
      origin: key.variable,
      wrong: `${key.variable} and ${fileVariable} are both set`,
      instead: 'Keep one of the two.',
    };
  }
  return readValueFile(key, path.resolve(cwd, file), fileVariable);
}

function assignment(key: SettingKey, text: string, origin: string): Assignment {
  return { key, value: valueOfText(key, text), origin };
}

function fileVariableOf(key: SettingKey): string {
  return `${key.variable}_FILE`;
}

/** No value is longer; more is a file that was named by mistake. */
const MAX_VALUE_BYTES = 65_536;

async function readValueFile(key: SettingKey, file: string, variable: string): Promise<Assignment | ConfigFault> {
  const unreadable = (wrong: string): ConfigFault => ({
    path: key.path,
    origin: variable,
    wrong,
    instead: `Name a readable file that holds nothing but the value, or set ${key.variable} to the value itself.`,
  });
  try {
    const { size } = await stat(file);
    if (size > MAX_VALUE_BYTES) return unreadable(`${file} has ${size} bytes, too many for one value`);
    return assignment(key, (await readFile(file, 'utf8')).replace(/\r?\n$/, ''), variable);
  } catch (error) {
    return unreadable(`${file} cannot be read (${codeOf(error)})`);
  }
}

function* unknownVariables(env: Environment, keys: readonly SettingKey[]): Generator<ConfigFault> {
  const known = [CONFIG_VARIABLE, ...keys.flatMap((key) => [key.variable, fileVariableOf(key)])];
  for (const name of Object.keys(env)) {
    if (!name.startsWith(VARIABLE_PREFIX) || env[name] === '' || known.includes(name)) continue;
    if (SERVICE_LINK.test(name) || TEST_VARIABLE.test(name)) continue;
    const meant = closest(name, known);
    yield {
      path: name,
      wrong: 'there is no such variable',
      instead: meant === undefined ? 'Unset it, or see docs/configuration.md for its name.' : `Did you mean ${meant}?`,
    };
  }
}
