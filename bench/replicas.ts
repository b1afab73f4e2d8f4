import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Replicas } from '../test/scale/replicas.ts';
import { createBlobSource } from './blob-source.ts';
import { createClient } from './client.ts';
import { IMAGE_REPOSITORY, IMAGE_TAG, pushImage } from './data-set.ts';
import { openLoadGenerators, type LoadGenerators } from './load.ts';
import { describeMachine, machineLine } from './machine.ts';
import { cpuMicroseconds } from './process-tree.ts';
import { openCpuLimits } from './replicas/cpu-limits.ts';
import { median } from './statistics.ts';

const USAGE = `node bench/replicas.ts [options]

  --rounds N     how often one and three servers are measured, in turn (default: 5)
  --seconds N    how long one measurement lasts (default: 4)
  --share N      percent of a core that each server may use (default: 15)
`;

/*
 * How many manifests three servers serve, over what one serves, when no server takes anything from another: each may use
 * the same small share of a core, so that all of them, the database and the load fit on the cores that are there. wrk asks
 * each server by itself. Prints a line for each kind of request, with what the servers and the database used for one.
 */
await main(process.argv.slice(2));

interface Sample {
  readonly rate: number;
  /** Microseconds of CPU for a request, of the servers that were asked, and of the database. */
  readonly server: number;
  readonly database: number;
}

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      share: { type: 'string', default: '15' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return void process.stdout.write(USAGE);
  const [rounds, seconds, share] = [Number(values.rounds), Number(values.seconds), Number(values.share)];
  const cache = path.join(homedir(), '.cache', 'entrepot-bench');
  mkdirSync(cache, { recursive: true });
  const directory = mkdtempSync(path.join(cache, 'replicas-'));
  try {
    const load = await openLoadGenerators(cache);
    await using limits = openCpuLimits();
    await using replicas = await Replicas.start({ count: 3 });
    const targets = await seed(replicas, directory);
    limits.limit(
      replicas.members.map(({ pid }) => pid),
      share,
    );
    process.stdout.write(
      `${machineLine(describeMachine())}; ${rounds} rounds of ${seconds} s, ${share} % of a core for each server\n\n`,
    );
    for (const [name, target] of targets) await measure(name, { replicas, load, target, rounds, seconds });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** An image in the registry; what is asked for, by name. */
async function seed({ members }: Replicas, directory: string): Promise<readonly (readonly [string, string])[]> {
  const client = createClient(new URL(members[0]?.url ?? '').host);
  const imageOf = await pushImage(client, createBlobSource(directory), IMAGE_REPOSITORY);
  const digest = await client.putManifest(IMAGE_REPOSITORY, IMAGE_TAG, imageOf('seed'));
  return [
    ['by tag', targetOf(IMAGE_TAG)],
    ['by digest', targetOf(digest)],
  ];
}

function targetOf(reference: string): string {
  return `/v2/${IMAGE_REPOSITORY}/manifests/${reference}`;
}

interface Measuring {
  readonly replicas: Replicas;
  readonly load: LoadGenerators;
  readonly target: string;
  readonly rounds: number;
  readonly seconds: number;
}

async function measure(name: string, measuring: Measuring): Promise<void> {
  const samples: { one: Sample; three: Sample }[] = [];
  await sample(measuring, 3);
  for (let round = 0; round < measuring.rounds; round++) {
    samples.push({ one: await sample(measuring, 1), three: await sample(measuring, 3) });
  }
  const ofAll = (value: (pair: { one: Sample; three: Sample }) => number) => median(samples.map(value));
  const lines = [
    `manifest GET ${name}`,
    `  one server:    ${number(ofAll(({ one }) => one.rate))} requests/s, CPU for one: ${number(ofAll(({ one }) => one.server))} us, of the database ${number(ofAll(({ one }) => one.database))} us`,
    `  three servers: ${number(ofAll(({ three }) => three.rate))} requests/s, CPU for one: ${number(ofAll(({ three }) => three.server))} us, of the database ${number(ofAll(({ three }) => three.database))} us`,
    `  three over one, by the rates: ${ofAll(({ one, three }) => three.rate / one.rate).toFixed(2)}`,
    `  three over one, by CPU for a request: ${ofAll(({ one, three }) => (3 * one.server) / three.server).toFixed(2)}`,
  ];
  process.stdout.write(`${lines.join('\n')}\n\n`);
}

/** Asks the first `count` servers at once. */
async function sample({ replicas, load, target, seconds }: Measuring, count: number): Promise<Sample> {
  const asked = replicas.members.slice(0, count);
  const used = () => asked.reduce((sum, { pid }) => sum + cpuMicroseconds(pid), 0);
  const [server, database] = [used(), cpuMicroseconds(replicas.postgres.pid)];
  const results = await Promise.all(
    asked.map(({ url }) => load.wrk({ host: new URL(url).host, target, connections: 4, seconds })),
  );
  const jobs = results.reduce((sum, result) => sum + result.jobs, 0);
  return {
    rate: results.reduce((sum, result) => sum + result.jobs / result.seconds, 0),
    server: (used() - server) / jobs,
    database: (cpuMicroseconds(replicas.postgres.pid) - database) / jobs,
  };
}

function number(value: number): string {
  return Math.round(value).toLocaleString('en');
}
