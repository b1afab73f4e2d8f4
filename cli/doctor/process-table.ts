import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import path from 'node:path';

/*
 * Who holds what, as far as /proc tells this user. Everywhere else, and for processes of other users, the answer is
 * undefined: these are hints for a person, and no check depends on them.
 */

/** The process that holds a file lock, as `process 12 (node)`. */
export async function lockHolder(file: string): Promise<string | undefined> {
  const { ino } = await stat(file);
  const line = (await linesOf('/proc/locks')).find((each) => each.includes(`:${ino} `));
  const pid = line?.trim().split(/\s+/)[4];
  return pid === undefined ? undefined : nameOf(pid);
}

/** The process that listens on a TCP port, as `process 12 (node)`. */
export async function portHolder(port: number): Promise<string | undefined> {
  const lines = [...(await linesOf('/proc/net/tcp')), ...(await linesOf('/proc/net/tcp6'))];
  const sockets = new Set(lines.flatMap((line) => listeningSocket(line, port)));
  for (const pid of sockets.size === 0 ? [] : await processes()) {
    if (await holdsAny(pid, sockets)) return nameOf(pid);
  }
  return undefined;
}

const LISTENING = '0A';

/** The socket of a line of /proc/net/tcp that listens on `port`, as links in /proc/PID/fd spell it. */
function listeningSocket(line: string, port: number): string[] {
  const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
  const isMeant = state === LISTENING && Number.parseInt(local.split(':')[1] ?? '', 16) === port;
  return isMeant ? [`socket:[${inode}]`] : [];
}

async function holdsAny(pid: string, sockets: ReadonlySet<string>): Promise<boolean> {
  const directory = `/proc/${pid}/fd`;
  const names = await readdir(directory).catch(() => []);
  const links = await Promise.all(names.map((name) => readlink(`${directory}/${name}`).catch(() => '')));
  return links.some((link) => sockets.has(link));
}

async function processes(): Promise<string[]> {
  return (await readdir('/proc').catch(() => [])).filter((name) => /^[0-9]+$/.test(name));
}

async function nameOf(pid: string): Promise<string> {
  // Not `comm`: that is the name of a thread, "node-MainThread" for all of Node's programs.
  const [program = ''] = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
  const name = path.basename(program);
  return name === '' ? `process ${pid}` : `process ${pid} (${name})`;
}

async function linesOf(file: string): Promise<string[]> {
  return (await readFile(file, 'utf8').catch(() => '')).split('\n');
}
