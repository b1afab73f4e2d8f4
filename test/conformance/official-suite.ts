import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'yaml';
import { temporaryDirectory } from '../harness/process.ts';
import { parseRows, type Row } from './junit.ts';
import { allSwitches } from './switches.ts';

const TIMEOUT_MS = 240_000;

/** What one run of the official suite reports. */
export interface Report {
  readonly rows: readonly Row[];
  /** How each endpoint fared: `Pass`, `Skip`, `Disabled`, `FAIL`, `Error` or `Unknown`. */
  readonly apis: Readonly<Record<string, string>>;
  /** How each kind of content fared, in the same words. */
  readonly data: Readonly<Record<string, string>>;
  /** The configuration that the suite believes it had. */
  readonly config: { readonly apis: unknown; readonly data: unknown; readonly version: string };
}

/**
 * Runs the official suite, everything on, against the registry at `host` (`127.0.0.1:PORT`, plain HTTP).
 *
 * @throws Error with what it printed when it leaves no report
 */
export async function runOfficialSuite(
  program: string,
  host: string,
  { sparse, user, password }: { readonly sparse: boolean; readonly user?: string; readonly password?: string },
): Promise<Report> {
  await using results = await temporaryDirectory('entrepot-conformance-');
  const env = {
    ...allSwitches(sparse),
    OCI_REGISTRY: host,
    OCI_TLS: 'disabled',
    OCI_VERSION: 'dev',
    OCI_RESULTS_DIR: results.path,
    ...(user !== undefined && { OCI_USERNAME: user }),
    ...(password !== undefined && { OCI_PASSWORD: password }),
  };
  const printed = await run(program, env, results.path);
  try {
    const junit = await readFile(path.join(results.path, 'junit.xml'), 'utf8');
    const summary = parse(await readFile(path.join(results.path, 'results.yaml'), 'utf8')) as Omit<Report, 'rows'>;
    return { rows: parseRows(junit), apis: summary.apis, data: summary.data, config: summary.config };
  } catch (error) {
    throw new Error(`the suite left no report; it printed\n${printed}`, { cause: error });
  }
}

/** Its exit code says no more than its report does. */
async function run(program: string, env: Readonly<Record<string, string>>, directory: string): Promise<string> {
  // Nothing of the caller's environment: an OCI_ variable there would change what is tested.
  const child = spawn(program, [], { cwd: directory, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: TIMEOUT_MS });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (printed += text));
  }
  await once(child, 'close');
  return printed;
}
