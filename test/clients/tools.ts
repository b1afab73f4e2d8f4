import { accessSync, constants } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';

// Also in install.sh, which puts the Go programs there.
const INSTALLED =
  process.env['ENTREPOT_TEST_BIN'] ??
  path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'entrepot-test/bin');

// What install.sh installed comes before a newer `docker` or `oras` that the machine may have in /usr/local.
const DIRECTORIES = [INSTALLED, '/usr/bin', '/usr/sbin', ...(process.env['PATH'] ?? '').split(path.delimiter)];

function findTool(name: string): string | undefined {
  return DIRECTORIES.map((directory) => path.join(directory, name)).find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The path of a program that `missingTools` found. */
export function tool(name: string): string {
  const found = findTool(name);
  if (found === undefined) throw new Error(`${name} is not installed: run test/clients/install.sh`);
  return found;
}

/** Why a suite that needs these programs is skipped; false when all are there. For node:test's `skip`. */
export function missingTools(...names: string[]): string | false {
  const missing = names.filter((name) => findTool(name) === undefined);
  return missing.length > 0 && `not installed: ${missing.join(', ')} (test/clients/install.sh installs them)`;
}

/** As `missingTools`, for a suite that mounts file systems or starts containers. */
export function missingToolsOrRoot(...names: string[]): string | false {
  return process.getuid?.() === 0 ? missingTools(...names) : 'needs root: it mounts file systems';
}
