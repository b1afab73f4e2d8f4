import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, chown, rm, writeFile } from 'node:fs/promises';
import { accessSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { missingTools, tool } from '../clients/tools.ts';
import { freePort, temporaryDirectory } from '../harness/process.ts';

const START_MS = 30_000;
const OWNER = 'entrepot';
const run = promisify(execFile);

// Debian keeps the programs of each version apart; the newest of them.
const PROGRAMS = globSync('/usr/lib/postgresql/*/bin').toSorted().at(-1) ?? '/usr/lib/postgresql';

/** Why there can be no server; false when there can. */
export const missingPostgres: string | false = isThere(path.join(PROGRAMS, 'postgres'))
  ? missingTools('setpriv')
  : 'not installed: postgresql (test/clients/install.sh installs it)';

export const missingPgBouncer: string | false = missingPostgres === false ? missingTools('pgbouncer') : missingPostgres;

function isThere(file: string): boolean {
  try {
    accessSync(file);
    return true;
  } catch {
    return false;
  }
}

/** A real PostgreSQL in a directory of its own, that waits for the disk as one in earnest does. */
export class PostgresServer implements AsyncDisposable {
  readonly #directory: string;
  readonly #port: number;
  #process: RunningProcess | undefined;
  #databases = 0;
  #isFrozen = false;

  private constructor(directory: string, port: number) {
    this.#directory = directory;
    this.#port = port;
  }

  static async start(): Promise<PostgresServer> {
    const directory = await temporaryDirectory('postgres-');
    const server = new PostgresServer(directory.path, await freePort());
    await giveToOther(directory.path);
    await server.#run('initdb', [
      '-D',
      server.#data,
      '-U',
      'postgres',
      '-E',
      'UTF8',
      '--locale=C.UTF-8',
      '-A',
      'trust',
    ]);
    const settings = [
      `listen_addresses = '127.0.0.1'`,
      `port = ${server.#port}`,
      `unix_socket_directories = '${directory.path}'`,
      'max_connections = 200',
      'log_min_messages = fatal',
    ];
    await writeFile(path.join(server.#data, 'postgresql.auto.conf'), `${settings.join('\n')}\n`);
    await server.up();
    await server.#asAdministrator(`CREATE ROLE ${OWNER} LOGIN`);
    return server;
  }

  get #data(): string {
    return path.join(this.#directory, 'data');
  }

  /** Of the first of its processes; 0 while it is down. */
  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Starts it again, where it was stopped or killed. */
  async up(): Promise<void> {
    this.#process = start(path.join(PROGRAMS, 'postgres'), ['-D', this.#data]);
    await this.#process.until(() => this.#asAdministrator('SELECT 1'));
  }

  /** Every connection ends at once, as an administrator would do it. */
  async stop(): Promise<void> {
    await this.#process?.end('SIGINT');
  }

  /** What has not reached the log on the disk is lost, as when it crashes. */
  async crash(): Promise<void> {
    await this.#process?.end('SIGQUIT');
  }

  /** Nothing of it runs, and nobody is told: connections stay, and no answer comes. */
  freeze(): void {
    this.#isFrozen = true;
    this.#process?.signal('SIGSTOP');
  }

  thaw(): void {
    if (this.#isFrozen) this.#process?.signal('SIGCONT');
    this.#isFrozen = false;
  }

  /** Speaks TLS as well from the next start on. @param pem the certificate, and the key, which it gets copies of */
  async certify(pem: { readonly cert: string; readonly key: string }): Promise<void> {
    const place = { cert: path.join(this.#data, 'server.crt'), key: path.join(this.#data, 'server.key') };
    await writeFile(place.cert, pem.cert);
    await writeFile(place.key, pem.key, { mode: 0o600 });
    await giveToOther(place.cert, 0o600);
    await giveToOther(place.key, 0o600);
    await appendFile(path.join(this.#data, 'postgresql.auto.conf'), 'ssl = on\n');
  }

  /** A new and empty database. */
  async database(): Promise<PostgresOptions> {
    this.#databases += 1;
    const name = `index_${this.#databases}`;
    await this.#asAdministrator(`CREATE DATABASE ${name} OWNER ${OWNER}`);
    return this.optionsOf(name);
  }

  /** A database that is as `from` is now, which nobody may be connected to. */
  async copyOf(from: PostgresOptions): Promise<PostgresOptions> {
    this.#databases += 1;
    const name = `index_${this.#databases}`;
    await this.#asAdministrator(`CREATE DATABASE ${name} OWNER ${OWNER} TEMPLATE ${from.database}`);
    return this.optionsOf(name);
  }

  /** Ends whoever is connected to it. */
  async drop({ database }: PostgresOptions): Promise<void> {
    await this.#asAdministrator(`DROP DATABASE ${database} WITH (FORCE)`);
  }

  optionsOf(database: string): PostgresOptions {
    return { ...this.#address, database, user: OWNER, password: undefined, tls: undefined, poolSize: 8 };
  }

  get #address() {
    return { host: '127.0.0.1', port: this.#port };
  }

  /** As its superuser. */
  async query(database: string, sql: string): Promise<readonly Record<string, unknown>[]> {
    const client = new Client({ ...this.#address, user: 'postgres', database });
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(sql)).rows;
    } finally {
      await client.end();
    }
  }

  async #asAdministrator(sql: string): Promise<void> {
    await this.query('postgres', sql);
  }

  async #run(program: string, args: readonly string[]): Promise<void> {
    const [command, all] = asOther(path.join(PROGRAMS, program), args);
    await run(command, [...all]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A frozen one does not end.
    this.thaw();
    await this.#process?.end('SIGQUIT');
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** PgBouncer in transaction mode before a server: each transaction may get another connection. */
export class PgBouncer implements AsyncDisposable {
  readonly #directory: AsyncDisposable & { readonly path: string };
  readonly #process: RunningProcess;
  readonly #port: number;

  private constructor(directory: AsyncDisposable & { path: string }, port: number, process: RunningProcess) {
    this.#directory = directory;
    this.#port = port;
    this.#process = process;
  }

  static async start({ host, port, user }: PostgresOptions, mode = 'transaction'): Promise<PgBouncer> {
    const directory = await temporaryDirectory('pgbouncer-');
    await giveToOther(directory.path);
    const own = await freePort();
    const settings = [
      '[databases]',
      `* = host=${host} port=${port}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${own}`,
      'auth_type = any',
      `pool_mode = ${mode}`,
      'default_pool_size = 6',
      'unix_socket_dir =',
    ];
    const file = path.join(directory.path, 'pgbouncer.ini');
    // `any` takes everybody for the user that the database names.
    settings[1] = `* = host=${host} port=${port} user=${user}`;
    await writeFile(file, `${settings.join('\n')}\n`);
    const process = start(tool('pgbouncer'), [file]);
    const bouncer = new PgBouncer(directory, own, process);
    await process.until(async () => {
      const client = new Client({ ...bouncer.before({ host, port, user } as PostgresOptions), database: 'postgres' });
      await client.connect();
      await client.end();
    });
    return bouncer;
  }

  /** The same database, through it. */
  before(options: PostgresOptions): PostgresOptions {
    return { ...options, host: '127.0.0.1', port: this.#port };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.end('SIGKILL');
    await this.#directory[Symbol.asyncDispose]();
  }
}

interface RunningProcess {
  readonly pid: number;
  /** Waits until `probe` resolves. */
  until(probe: () => Promise<void>): Promise<void>;
  end(signal: NodeJS.Signals): Promise<void>;
  /** To it and all that it has started. */
  signal(signal: NodeJS.Signals): void;
}

function start(program: string, args: readonly string[]): RunningProcess {
  const [command, all] = asOther(program, args);
  const child = spawn(command, all, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-10_000)));
  }
  const ended = once(child, 'exit');
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  return {
    pid: child.pid ?? 0,
    until: async (probe) => {
      const deadline = performance.now() + START_MS;
      for (;;) {
        try {
          await probe();
          return;
        } catch (error) {
          if (hasEnded() || performance.now() > deadline) {
            throw new Error(`${program} did not start: ${String(error)}\n${output}`, { cause: error });
          }
        }
        await delay(20);
      }
    },
    end: async (signal) => {
      if (!hasEnded()) child.kill(signal);
      await ended;
    },
    signal: (signal) => {
      const pid = Number(child.pid);
      child.kill(signal);
      for (const other of readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')) {
        signalIfThere(Number(other), signal);
      }
    },
  };
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

// Neither of them runs as root. A server of databases leaves nothing to others: the user needs no more than a name.
const OTHER = 'postgres';

function asOther(program: string, args: readonly string[]): readonly [string, readonly string[]] {
  if (process.getuid?.() !== 0) return [program, args];
  const who = [`--reuid=${OTHER}`, `--regid=${OTHER}`, '--clear-groups'];
  return [tool('setpriv'), [...who, program, ...args]];
}

async function giveToOther(file: string, mode = 0o700): Promise<void> {
  if (process.getuid?.() !== 0) return;
  await chown(file, await idOfOther('-u'), await idOfOther('-g'));
  await chmod(file, mode);
}

async function idOfOther(option: '-u' | '-g'): Promise<number> {
  return Number((await run('id', [option, OTHER])).stdout);
}
