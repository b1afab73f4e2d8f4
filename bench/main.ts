import { mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import path from 'node:path';
import { createBlobSource } from './blob-source.ts';
import { compare, partsOf } from './comparison.ts';
import { commandRegistry, knownRegistry } from './known-registries.ts';
import { openLoadGenerators } from './load.ts';
import { parseOptions, USAGE, type Options } from './options.ts';
import { remote, type Registry } from './registries.ts';
import { createReport, type Report } from './report.ts';
import { selectRows } from './rows/all.ts';
import type { Row } from './rows/row.ts';
import { Side, type Tools } from './side.ts';

/** The magic number of tmpfs, statfs(2). */
const TMPFS = 0x0102_1994;

await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<void> {
  const options = readOptions(args);
  if (options === undefined) return;
  const rows = selectRows(options.rows).filter((row) => row.isQuick || !options.isQuick);
  if (options.isHelp) {
    process.stdout.write(USAGE);
    return;
  }
  if (options.isList) {
    process.stdout.write(rows.map((row) => `${row.id}\n`).join(''));
    return;
  }
  const report = createReport(options);
  await benchmark(options, rows, report);
  if (report.hasFailures) process.exitCode = 1;
}

function readOptions(args: readonly string[]): Options | undefined {
  try {
    return parseOptions(args);
  } catch (error) {
    process.stderr.write(`${String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

async function benchmark(options: Options, rows: readonly Row[], report: Report): Promise<void> {
  mkdirSync(options.directory, { recursive: true });
  if (statfsSync(options.directory).type === TMPFS) throw new Error(`${options.directory} is in memory: give a disk`);
  const run = mkdtempSync(path.join(options.directory, 'run-'));
  const tools = await openTools(options, run);
  const subject = openSide(
    await knownRegistry(options.subject, options.directory, options.subjectArgs),
    tools,
    run,
    'a',
  );
  const peer = openSide(await peerOf(options), tools, run, 'b');
  try {
    await Promise.all([subject, peer].map((side) => side.seed(partsOf(rows))));
    await measureAll(options, rows, subject, peer, report);
  } finally {
    await Promise.all([subject.close(), peer.close()]);
    rmSync(run, { recursive: true, force: true });
  }
}

async function openTools(options: Options, run: string): Promise<Tools> {
  const load = await openLoadGenerators(options.directory);
  return { load, source: createBlobSource(run), seconds: options.seconds };
}

function openSide(registry: Registry, tools: Tools, run: string, name: string): Side {
  const directory = path.join(run, name);
  mkdirSync(directory);
  return new Side(registry, tools, directory);
}

function peerOf({ peer, directory }: Options): Promise<Registry> | Registry {
  if (peer.kind === 'url') return remote(peer.url, peer.pid);
  if (peer.kind === 'command') return commandRegistry(peer.template);
  return knownRegistry(peer.name, directory, []);
}

async function measureAll(options: Options, rows: readonly Row[], subject: Side, peer: Side, report: Report) {
  for (const row of rows) {
    const start = performance.now();
    const result = await compare(row, subject, peer, options.rounds);
    report.add(result, (performance.now() - start) / 1000);
  }
  report.finish(subject.registry.name, peer.registry.name);
}
