import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError, readConfig, type ConfigInput } from '../../config/load.ts';
import { temporaryDirectory } from '../harness/process.ts';

/** The faults of an input that has to have some. */
export async function faultsOf(input: ConfigInput): Promise<ConfigError> {
  const error = await readConfig(input).then(
    (config) => assert.fail(`it was taken: ${JSON.stringify(config)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ConfigError, String(error));
  assert.ok(error.faults.length > 0);
  return error;
}

/** Reads `yaml` as the file `config.yaml`, by which name places in it are told. */
export async function withFile<T>(yaml: string, use: (input: ConfigInput, file: string) => Promise<T>): Promise<T> {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'config.yaml');
  await writeFile(file, yaml);
  return await use({ flags: { config: file }, cwd: directory.path }, file);
}

export const faultsOfFile = (yaml: string) => withFile(yaml, faultsOf);
