import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import type { BlobDriver } from '../storage/blobs/driver.ts';
import { openS3Driver } from '../storage/blobs/s3.ts';
import { tool } from '../test/clients/tools.ts';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../test/harness/process.ts';
import { s3Environment } from '../test/harness/s3-environment.ts';
import { Replicas, type Replica } from '../test/scale/replicas.ts';
import { radosgw, seaweedfs, versitygw, type S3Program, type S3Server } from '../test/scale/s3-servers.ts';
import { cpuMicroseconds } from './process-tree.ts';
import { Blobs, MIB } from './s3/content.ts';
import { describeMachine, machineLine } from './machine.ts';
import { median } from './statistics.ts';

const run = promisify(execFile);
const PUSHER = fileURLToPath(new URL('s3/pusher.ts', import.meta.url));
const GIB_MIB = 1024;
const AT_ONCE = 8;
const LOOK_MS = 20;

const PROGRAMS = { versitygw, radosgw, seaweedfs };

const USAGE = `usage: node bench/s3.ts [--s3 versitygw|radosgw|seaweedfs] [--leases] [--rounds N] [--only push|memory]

Pushes blobs of 1 GiB through Entrepot into an S3 server (versitygw), in alternation with the client of versitygw, which
sends as many bytes in parts of the same size. Nothing else runs meanwhile: copies that the server made later are waited for, and
the time until the bytes lay in their place is told as well. Then eight such pushes at once, for the most memory that the server's one
process has. With --leases the server is one that could have others beside it: its index is in PostgreSQL, and every change
of the bucket is a presigned request.`;

interface Setting {
  readonly program: S3Program;
  readonly hasLeases: boolean;
}

/** A registry over a bucket. */
interface Running extends AsyncDisposable {
  readonly s3: S3Server;
  readonly server: Pick<RunningServer, 'url' | 'pid'>;
}

/** What one way to store a gibibyte took in each round, in seconds. */
interface Row {
  readonly way: string;
  readonly seconds: number[];
  readonly cpuSeconds: number[];
  /** Until the bytes lay in their place, which may be later. */
  readonly placedSeconds: number[];
}

const WAYS = ['own client', 'digest first', 'digest last'] as const;

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '5' },
      only: { type: 'string' },
      s3: { type: 'string', default: 'versitygw' },
      leases: { type: 'boolean', default: false },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) return console.log(USAGE);
  const program = Object.entries(PROGRAMS).find(([name]) => name === values.s3)?.[1];
  if (program === undefined) throw new Error(`--s3 is one of ${Object.keys(PROGRAMS).join(', ')}, not ${values.s3}`);
  for (const { missing } of [versitygw, program]) if (missing !== false) throw new Error(missing);
  const setting = { program, hasLeases: values.leases };
  console.log(`${machineLine(describeMachine())}; ${program.name}${values.leases ? ', with leases' : ''}`);
  const blobs = new Blobs(GIB_MIB);
  if (values.only !== 'memory') await measurePushes(setting, blobs, Number(values.rounds));
  if (values.only !== 'push') await measureMemory(setting, blobs);
}

async function measurePushes(setting: Setting, blobs: Blobs, rounds: number): Promise<void> {
  await using running = await start(setting);
  const { s3, server } = running;
  const rows: Row[] = WAYS.map((way) => ({ way, seconds: [], cpuSeconds: [], placedSeconds: [] }));
  // The first one of each pays for what is done once.
  for (let round = -1; round < rounds; round += 1) {
    for (const row of rows) {
      // What the one before left to be written is not for this one to wait for.
      await run('sync');
      const before = cpuMicroseconds(server.pid);
      const seconds = row.way === 'own client' ? await ownClient(s3) : await push(server, blobs, row.way);
      const more = await untilPlaced(s3);
      if (round < 0) continue;
      row.seconds.push(seconds);
      row.placedSeconds.push(seconds + more);
      row.cpuSeconds.push((cpuMicroseconds(server.pid) - before) / 1e6);
    }
  }
  const [own] = rows;
  const ratio = (seconds: readonly number[]) =>
    median(seconds.map((value, round) => value / (own?.seconds[round] ?? Number.NaN))).toFixed(2);
  for (const { way, seconds, cpuSeconds, placedSeconds } of rows) {
    const all = seconds.map((value) => value.toFixed(2)).join(' ');
    const placed = `in its place after ${median(placedSeconds).toFixed(2)} s, ${ratio(placedSeconds)}`;
    console.log(
      `${way}: ${median(seconds).toFixed(2)} s, ${ratio(seconds)} of the own client's; ${placed}; server CPU ${median(cpuSeconds).toFixed(2)} s (${all})`,
    );
  }
}

/** Waits until no copy is left to be made. @returns how long that took, in seconds */
async function untilPlaced({ options }: S3Server): Promise<number> {
  const begin = performance.now();
  const driver = openS3Driver(options);
  try {
    while (await isAnyDeferred(driver)) await delay(LOOK_MS);
  } finally {
    await driver.close();
  }
  return (performance.now() - begin) / 1000;
}

async function isAnyDeferred({ deferred }: BlobDriver): Promise<boolean> {
  for await (const _ of deferred?.list() ?? []) return true;
  return false;
}

async function measureMemory(setting: Setting, blobs: Blobs): Promise<void> {
  for (const way of WAYS.slice(1)) {
    await using running = await start(setting);
    const { server } = running;
    const begin = performance.now();
    await Promise.all(Array.from({ length: AT_ONCE }, () => push(server, blobs, way)));
    const seconds = (performance.now() - begin) / 1000;
    console.log(
      `${AT_ONCE} pushes at once, ${way}: at most ${peakMebibytes(server.pid).toFixed(0)} MiB, ${seconds.toFixed(1)} s`,
    );
  }
}

async function start({ program, hasLeases }: Setting): Promise<Running> {
  await using starting = new AsyncDisposableStack();
  const s3 = starting.use(await program.start());
  const server = hasLeases ? await startReplica(s3, starting) : await startAlone(s3, starting);
  const resources = starting.move();
  return { s3, server, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

async function startAlone({ options }: S3Server, resources: AsyncDisposableStack): Promise<RunningServer> {
  const directory = resources.use(await temporaryDirectory());
  const root = path.join(directory.path, 'root');
  return resources.use(await startEntrepot({ root, env: s3Environment(options), args: ['--workers', '1'] }));
}

async function startReplica(bucket: S3Server, resources: AsyncDisposableStack): Promise<Replica> {
  const { members } = resources.use(await Replicas.start({ count: 1, bucket }));
  const [member] = members;
  if (member === undefined) throw new Error('no server');
  return member;
}

async function push(server: Running['server'], blobs: Blobs, way: string): Promise<number> {
  const { digest, tail } = blobs.next();
  const args = [PUSHER, server.url, 'bench/app', digest, String(GIB_MIB), tail];
  const { stdout } = await run(process.execPath, [...args, ...(way === 'digest last' ? ['docker'] : [])]);
  return Number(stdout) / 1000;
}

let ownObjects = 0;

/** With parts of our size, and as many at once; a new object each time, as our blobs are. */
async function ownClient({ options }: S3Server): Promise<number> {
  const { accessKeyId = '', secretAccessKey = '' } = options.credentials ?? {};
  const where = ['--access', accessKeyId, '--secret', secretAccessKey, '--endpoint', options.endpoint ?? ''];
  const what = ['--upload', '--files', '1', '--objsize', String(GIB_MIB * MIB), '--bucket', options.bucket];
  const how = ['--prefix', `own-${ownObjects++}-`, '--partSize', String(8 * MIB), '--concurrency', '3'];
  const { AWS_CA_BUNDLE: _, ...env } = process.env;
  const begin = performance.now();
  await run(tool('versitygw'), ['test', ...where, 'bench', ...what, ...how], { env });
  return (performance.now() - begin) / 1000;
}

/** VmHWM, proc(5). */
function peakMebibytes(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
}

await main(process.argv.slice(2));
