import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { distributionConfig } from '../harness/distribution.ts';
import { temporaryDirectory } from '../harness/process.ts';

/** What Distribution's garbage collector found. */
export interface Garbage {
  /** Blobs that a manifest needs, and manifests. */
  readonly marked: number;
  /** The digests of the blobs that it would delete, or has deleted. */
  readonly eligible: readonly string[];
}

/** Runs `docker-registry garbage-collect` on a store that nothing serves. @throws Error with its words when it fails */
export async function collectGarbage(root: string, mode: 'dry-run' | 'for real'): Promise<Garbage> {
  await using directory = await temporaryDirectory('distribution-gc-');
  const config = path.join(directory.path, 'config.yml');
  await writeFile(config, distributionConfig(root, '127.0.0.1:0'));
  const flags = mode === 'dry-run' ? ['--dry-run'] : [];
  const { stdout } = await promisify(execFile)('docker-registry', ['garbage-collect', ...flags, config], {
    maxBuffer: 1 << 26,
  });
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
