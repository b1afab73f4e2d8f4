import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, open, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { missingTools, tool } from '../clients/tools.ts';
import { freePort, temporaryDirectory } from '../harness/process.ts';
import { ACCESS, createBucket, optionsAt, SECRET, untilAnswers, type S3Program, type S3Server } from './s3-program.ts';

const run = promisify(execFile);
const STEP_MS = 60_000;
const ENTITIES = ['client.admin', 'osd.0'];
const PROGRAMS = ['ceph', 'ceph-authtool', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin'];

/** Ceph's object gateway (https://docs.ceph.com/en/latest/radosgw/) over one monitor and one OSD on a sparse file. */
export const radosgw: S3Program = { name: 'radosgw', missing: missingTools(...PROGRAMS), start: startCluster };

async function startCluster(): Promise<S3Server> {
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(await temporaryDirectory('radosgw-'));
  const cluster = new Cluster(directory.path, await freePort(), randomUUID());
  resources.use(cluster);
  await cluster.startMonitor();
  await cluster.startOsd();
  const gateway = await cluster.startGateway();
  await createBucket(gateway.options);
  const started = resources.move();
  return { ...gateway, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

/** The daemons of one cluster, in the order in which they need each other. */
class Cluster implements AsyncDisposable {
  readonly #directory: string;
  readonly #monitor: string;
  readonly #id: string;
  readonly #daemons: { readonly child: ChildProcess; readonly ended: Promise<unknown> }[] = [];

  constructor(directory: string, monitorPort: number, id: string) {
    this.#directory = directory;
    this.#monitor = `[v2:127.0.0.1:${monitorPort}]`;
    this.#id = id;
  }

  async startMonitor(): Promise<void> {
    for (const name of ['mon', 'osd', 'run']) await mkdir(this.#at(name));
    await writeFile(this.#at('ceph.conf'), this.#configuration());
    const keyring = this.#at('keyring');
    await this.#run('ceph-authtool', '--create-keyring', keyring, '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *');
    for (const name of ENTITIES) {
      const rights = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *'];
      await this.#run('ceph-authtool', keyring, '--gen-key', '-n', name, ...rights);
    }
    const map = this.#at('monmap');
    await this.#run('monmaptool', '--create', '--fsid', this.#id, '--addv', 'a', this.#monitor, map);
    await this.#run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', map, '--keyring', keyring);
    await this.#start('ceph-mon', '-i', 'a');
  }

  async startOsd(): Promise<void> {
    const id = randomUUID();
    // Waits until the monitor is there.
    await this.#run('ceph', 'osd', 'new', id);
    await this.#run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', id);
    await this.#start('ceph-osd', '-i', '0');
  }

  async startGateway(): Promise<Pick<S3Server, 'options' | 'pid'>> {
    const keys = ['--access-key', ACCESS, '--secret-key', SECRET];
    await this.#run('radosgw-admin', 'user', 'create', '--uid', 'test', '--display-name', 'test', ...keys);
    const endpoint = `127.0.0.1:${await freePort()}`;
    const gateway = await this.#start('radosgw', '-n', 'client.admin', '--rgw-frontends', `beast endpoint=${endpoint}`);
    await untilAnswers(`http://${endpoint}`, () => gateway.exitCode ?? gateway.signalCode);
    return { options: optionsAt(`http://${endpoint}`), pid: gateway.pid ?? 0 };
  }

  /** The last one first: a gateway waits for its OSD for ever. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child, ended } of this.#daemons.toReversed()) {
      child.kill('SIGKILL');
      await ended;
    }
  }

  async #run(name: string, ...args: string[]): Promise<void> {
    await run(tool(name), args, { env: this.#environment(), timeout: STEP_MS });
  }

  /** Its output goes to a file beside its own log. */
  async #start(name: string, ...args: string[]): Promise<ChildProcess> {
    await using output = await open(this.#at(`${name}.out`), 'w');
    const stdio = ['ignore' as const, output.fd, output.fd];
    const child = spawn(tool(name), ['-f', ...args], { env: this.#environment(), stdio });
    this.#daemons.push({ child, ended: once(child, 'exit') });
    return child;
  }

  #environment(): NodeJS.ProcessEnv {
    return { ...process.env, CEPH_CONF: this.#at('ceph.conf') };
  }

  #at(name: string): string {
    return path.join(this.#directory, name);
  }

  #configuration(): string {
    const lines = {
      fsid: this.#id,
      'mon host': this.#monitor,
      'mon initial members': 'a',
      'mon allow pool size one': 'true',
      // Of a disk that others may have filled.
      'mon data avail crit': '1',
      'osd pool default size': '1',
      'osd pool default min size': '1',
      'osd pool default pg num': '8',
      'osd crush chooseleaf type': '0',
      'osd objectstore': 'bluestore',
      // Sparse.
      'bluestore block size': String(32 * 1024 ** 3),
      'public addr': '127.0.0.1',
      'cluster addr': '127.0.0.1',
      keyring: this.#at('keyring'),
      'mon data': this.#at('mon'),
      'osd data': this.#at('osd'),
      'rgw data': this.#at('rgw'),
      'run dir': this.#at('run'),
      'admin socket': this.#at('run/$name.asok'),
      'pid file': this.#at('run/$name.pid'),
      'log file': this.#at('$name.log'),
      'crash dir': this.#at('crash'),
    };
    return `[global]\n${Object.entries(lines)
      .map(([name, value]) => `${name} = ${value}\n`)
      .join('')}`;
  }
}
