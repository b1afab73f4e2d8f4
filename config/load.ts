import type { Config } from './config.ts';
import { ConfigError } from './fault.ts';
import type { ReadOptions } from './contradictions.ts';
import { deriveConfig } from './derive.ts';
import { readSettings, type ConfigInput, type RawSettings } from './read.ts';
import { valueIn } from './section.ts';
import { validateSettings, type CheckedSettings } from './validate.ts';

export type { ReadOptions } from './contradictions.ts';
export type { ConfigFlags, ConfigInput } from './read.ts';
export { ConfigError } from './fault.ts';
export { configJsonSchema } from './keys.ts';

/**
 * The configuration from the file, the variables and the flags, each over the one before.
 *
 * @throws ConfigError with every fault there is; also when the server would be open to other machines unasked
 */
export async function readConfig(input: ConfigInput, options: ReadOptions = {}): Promise<Config> {
  const { settings } = await soundSettings(input, options);
  return deriveConfig(settings, input.cwd ?? process.cwd());
}

/**
 * Every key with the value it has and, in a comment, who set it, as YAML that could be the file. Secrets are hidden.
 *
 * @throws ConfigError as `readConfig` with `allowExposed`
 */
export async function describeConfig(input: ConfigInput): Promise<string> {
  const { settings, values, originOf } = await soundSettings(input, { allowExposed: true });
  // A default has no origin, also where others of its section were set.
  const setterOf = (key: string) => (valueIn(values, key.split('.')) === undefined ? undefined : originOf(key));
  // Only this command writes YAML.
  const { describeSettings } = await import('./describe.ts');
  return describeSettings(settings, setterOf);
}

/**
 * Checks a file by itself, without variables and flags.
 *
 * @throws ConfigError with every fault there is
 */
export async function checkConfigFile(file: string, cwd?: string): Promise<void> {
  await soundSettings({ flags: { config: file }, ...(cwd !== undefined && { cwd }) }, {});
}

async function soundSettings(
  input: ConfigInput,
  options: ReadOptions,
): Promise<Pick<CheckedSettings, 'settings'> & Pick<RawSettings, 'values' | 'originOf'>> {
  const raw = await readSettings(input);
  const { settings, faults } = validateSettings(raw, options);
  if (faults.length > 0) throw new ConfigError(faults);
  return { settings, values: raw.values, originOf: raw.originOf };
}
