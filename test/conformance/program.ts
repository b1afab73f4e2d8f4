import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, rename } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const MODULE = 'github.com/opencontainers/distribution-spec/conformance';
/** The commit of the specification whose suite is run. */
export const VERSION = 'v0.0.0-20260831232431-97274622c111';

const BUILD_TIMEOUT_MS = 300_000;
const CACHE = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'entrepot-test/conformance');

/**
 * The path of the official suite, built with Go the first time.
 *
 * @returns why it cannot be had, in `missing`, where there is no Go or its module cannot be fetched
 */
export async function conformanceProgram(): Promise<{ program: string } | { missing: string }> {
  const program = path.join(CACHE, VERSION, 'conformance');
  if (existsSync(program)) return { program };
  try {
    await build(program);
    return { program };
  } catch (error) {
    return { missing: `the official suite cannot be built: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Two builds at the same moment do not disturb each other. */
async function build(program: string): Promise<void> {
  const directory = path.join(CACHE, `building-${process.pid}`);
  await mkdir(directory, { recursive: true });
  await mkdir(path.dirname(program), { recursive: true });
  const env = { ...process.env, CGO_ENABLED: '0', GOBIN: directory };
  await promisify(execFile)('go', ['install', `${MODULE}@${VERSION}`], {
    env,
    cwd: directory,
    timeout: BUILD_TIMEOUT_MS,
    maxBuffer: 1 << 26,
  });
  await rename(path.join(directory, 'conformance'), program);
}
