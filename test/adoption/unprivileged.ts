import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync } from 'node:fs';
import path from 'node:path';
import { freePort, PROJECT_ROOT, startEntrepot, startServer, type RunningServer } from '../harness/process.ts';
import type { Store } from './stores.ts';

// Whom root becomes: Debian's nobody.
const NOBODY = '65534';
const AS_NOBODY = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

const isRoot = process.getuid?.() === 0;

/** Why tests of what a server may not read are skipped: root may read everything. For node:test's `skip`. */
export const NOT_UNPRIVILEGED =
  isRoot &&
  !canBecomeNobody() &&
  'runs as root, and a user who is not could not read the sources: permissions mean nothing';

function canBecomeNobody(): boolean {
  accessSync(process.execPath);
  const reading = [process.execPath, '--input-type=module', '-e', `await import(${JSON.stringify(main())})`];
  return spawnSync('setpriv', [...AS_NOBODY, ...reading], { cwd: '/' }).status === 0;
}

function main(): string {
  return path.join(PROJECT_ROOT, 'oci/digest.ts');
}

/** Starts Entrepot on the store as somebody for whom permissions count, where that is possible. */
export async function startUnprivileged(store: Store): Promise<RunningServer> {
  if (!isRoot || NOT_UNPRIVILEGED !== false) return startEntrepot({ root: store.root });
  execFileSync('chown', ['-R', '-h', NOBODY, path.dirname(store.root)]);
  const host = `127.0.0.1:${await freePort()}`;
  const serve = [process.execPath, 'cli/main.mjs', 'serve', '--address', host, '--root', store.root];
  return startServer('setpriv', [...AS_NOBODY, ...serve], host);
}
