import { readFile } from 'node:fs/promises';
import { about, type Check, type Finding } from './finding.ts';

const limit = about('file limit');

/** A connection and the file it sends are two; below this a busy day ends in EMFILE. */
const ENOUGH = 4096;
/** Index, log, sockets and libraries alone need dozens. */
const TOO_FEW = 256;

/** How many files and connections a process may have open, where Linux says it: in this shell, not in the service. */
export const checkFileLimit: Check = async () => {
  const text = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  return [findingFor(parseFileLimit(text))];
};

/** The soft limit; undefined where the text names none. */
export function parseFileLimit(limits: string): number | undefined {
  const [, soft] = /^Max open files\s+(\d+|unlimited)/m.exec(limits) ?? [];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Infinity : Number(soft);
}

function findingFor(files: number | undefined): Finding {
  if (files === undefined) return limit.ok('this system does not tell; "ulimit -n" does');
  const saw = `${files} files and connections may be open at once`;
  if (files >= ENOUGH) return limit.ok(saw);
  const advice = `Raise it to ${ENOUGH} or more: LimitNOFILE= in a systemd unit, "ulimits: nofile" in a compose file, "ulimit -n" in a shell.`;
  return files < TOO_FEW ? limit.problem(saw, advice) : limit.warning(saw, advice);
}
