import path from 'node:path';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { startRoundRobin, type RoundRobin } from '../harness/round-robin.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';
import { versitygw, type S3Program, type S3Server } from './s3-servers.ts';

export interface ReplicasOptions {
  /** How many servers; three unless given here or by ENTREPOT_TEST_REPLICAS. */
  readonly count?: number;
  /** Processes that serve, in each; one unless given. */
  readonly workers?: number;
  readonly s3?: S3Program;
  /** Further variables, the same for all. */
  readonly env?: Readonly<Record<string, string>>;
  /** What the n-th is to know besides, counted from 0. */
  readonly envOf?: (index: number) => Readonly<Record<string, string>>;
  /** A bucket that is there already. */
  readonly bucket?: S3Server;
}

const COUNT = Number(process.env['ENTREPOT_TEST_REPLICAS'] ?? 3);

/** Why there can be none; false when there can. */
export const missingForReplicas: string | false = missingPostgres === false ? versitygw.missing : missingPostgres;

/** On a port, or on a free one. */
type Start = (port: number | undefined) => Promise<RunningServer>;

/** One of several servers on a bucket and a database, in processes of its own and with a root of its own. */
export class Replica implements AsyncDisposable {
  readonly #start: Start;
  #server: RunningServer;
  #earlier = '';
  #isFrozen = false;
  #isUp = true;

  private constructor(start: Start, server: RunningServer) {
    this.#start = start;
    this.#server = server;
  }

  static async start(start: Start): Promise<Replica> {
    return new Replica(start, await start(undefined));
  }

  /** Stays the same over restarts. */
  get url(): string {
    return this.#server.url;
  }

  /** Of its first process, which changes with each start. */
  get pid(): number {
    return this.#server.pid;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** It runs, and is not frozen. */
  get isUp(): boolean {
    return this.#isUp && !this.#isFrozen;
  }

  /** Everything that it printed, in all its lives. */
  output(): string {
    return this.#earlier + this.#server.output();
  }

  /** kill -9 to all its processes at once. */
  async kill(): Promise<void> {
    this.#isUp = false;
    await this.#server.kill();
    this.#isFrozen = false;
  }

  /** Its exit status after it was asked to end. */
  stop(): Promise<number | null> {
    this.#isUp = false;
    return this.#server.stop();
  }

  /** Again, on the same port and root, after it was killed or stopped. */
  async restart(): Promise<void> {
    this.#earlier += this.#server.output();
    this.#server = await this.#start(Number(new URL(this.url).port));
    this.#isUp = true;
  }

  /** SIGSTOP to all its processes: they do nothing until `thaw`, and do not know it. */
  freeze(): void {
    this.#isFrozen = true;
    process.kill(-this.pid, 'SIGSTOP');
  }

  thaw(): void {
    this.#isFrozen = false;
    process.kill(-this.pid, 'SIGCONT');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

type Parts = Pick<Replicas, 'members' | 'balancer' | 's3' | 'postgres' | 'database' | 'env'>;

/** Several servers over one PostgreSQL and one bucket, behind a balancer that changes server with every request. */
export class Replicas implements AsyncDisposable {
  readonly members: readonly Replica[];
  readonly balancer: RoundRobin;
  readonly s3: S3Server;
  readonly postgres: PostgresServer;
  readonly database: PostgresOptions;
  /** The variables that all of them have. */
  readonly env: Readonly<Record<string, string>>;
  readonly #resources: AsyncDisposableStack;

  private constructor({ members, balancer, s3, postgres, database, env }: Parts, resources: AsyncDisposableStack) {
    this.members = members;
    this.balancer = balancer;
    this.s3 = s3;
    this.postgres = postgres;
    this.database = database;
    this.env = env;
    this.#resources = resources;
  }

  static async start(options: ReplicasOptions = {}): Promise<Replicas> {
    const { count = COUNT, workers = 1, s3: program = versitygw, envOf = () => ({}) } = options;
    await using starting = new AsyncDisposableStack();
    const postgres = starting.use(await PostgresServer.start());
    const s3 = options.bucket ?? starting.use(await program.start());
    const { path: directory } = starting.use(await temporaryDirectory('entrepot-replicas-'));
    const database = await postgres.database();
    const env = {
      ENTREPOT_LOG_FORMAT: 'json',
      ...postgresEnvironment(database),
      ...s3Environment(s3.options),
      ...options.env,
    };
    const members: Replica[] = [];
    for (let index = 0; index < count; index++) {
      const root = path.join(directory, `replica-${index}`);
      const serverOptions = {
        root,
        args: ['--workers', String(workers)],
        env: { ...env, ...envOf(index) },
        timeoutMs: 30_000,
      };
      const start: Start = (port) => startEntrepot({ ...serverOptions, ...(port !== undefined && { port }) });
      members.push(starting.use(await Replica.start(start)));
    }
    const balancer = starting.use(await startRoundRobin(members.map(({ url }) => url)));
    return new Replicas({ members, balancer, s3, postgres, database, env }, starting.move());
  }

  /** Of the balancer: `http://127.0.0.1:PORT`. */
  get url(): string {
    return this.balancer.url;
  }

  get host(): string {
    return this.balancer.host;
  }

  /** Everything that all of them printed, one after the other. */
  output(): string {
    return this.members.map((member) => member.output()).join('');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
