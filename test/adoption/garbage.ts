import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { tool } from '../clients/tools.ts';
import { DISTRIBUTION_ENV, distributionConfig } from '../harness/distribution.ts';
import { temporaryDirectory } from '../harness/process.ts';
import type { Store } from './stores.ts';

/** What Distribution's garbage collector found. */
export interface Garbage {
  /** Blobs that a manifest needs, and manifests. */
  readonly marked: number;
  /** The digests of the blobs that it would delete, or has deleted. */
  readonly eligible: readonly string[];
}

/**
 * Runs the garbage collector of the store's Distribution while nothing serves it.
 *
 * @throws Error with its words when it fails
 */
export async function collectGarbage(
  { root, distribution }: Store,
  mode: 'dry-run' | 'for real',
  ...flags: readonly string[]
): Promise<Garbage> {
  await using directory = await temporaryDirectory('distribution-gc-');
  const config = path.join(directory.path, 'config.yml');
  await writeFile(config, distributionConfig(root, '127.0.0.1:0'));
  const args = ['garbage-collect', ...(mode === 'dry-run' ? ['--dry-run'] : []), ...flags, config];
  const env = { ...process.env, ...DISTRIBUTION_ENV };
  const { stdout } = await promisify(execFile)(tool(distribution.program), args, { env, maxBuffer: 1 << 26 });
  return parseGarbage(stdout);
}

/** @throws Error when the collector's words are not those that this knows */
export function parseGarbage(printed: string): Garbage {
  const sums = /^(\d+) blobs marked, (\d+) blobs and \d+ manifests eligible for deletion$/m.exec(printed);
  if (sums === null) throw new Error(`the collector says nothing of blobs that it marked:\n${printed}`);
  const eligible = Array.from(printed.matchAll(/^blob eligible for deletion: (\S+)$/gm), ([, digest = '']) => digest);
  if (eligible.length !== Number(sums[2]))
    throw new Error(`the collector names other blobs than it counts:\n${printed}`);
  return { marked: Number(sums[1]), eligible };
}
