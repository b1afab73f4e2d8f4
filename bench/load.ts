import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { z } from 'zod';
import { MEDIA_TYPES } from '../oci/media-types.ts';

const LOAD_RESULT = z.object({
  /** Requests, pushes or whole lists, whichever the mode counts. */
  jobs: z.int(),
  /** Of answers' bodies; with wrk of answers. */
  bytes: z.int(),
  seconds: z.number().positive(),
  /** wrk's, for us to judge; our generator ends at the first failure. */
  failures: z.int().optional(),
});

/** What a load generator did. */
export type LoadResult = z.infer<typeof LOAD_RESULT>;

const SLOW_RESULT = z.object({
  connections: z.int(),
  /** How many still received something in the last third of the time. */
  progressing: z.int(),
  leastBytes: z.int(),
  bytes: z.int(),
  seconds: z.number().positive(),
});

/** What the slow pullers saw. */
export type SlowResult = z.infer<typeof SLOW_RESULT>;

/** Our own generator's modes, `bench/load/*.c`. */
export type LoadMode = 'get' | 'head' | 'list' | 'put' | 'push' | 'slow';

export interface LoadRequest {
  readonly host: string;
  /** What to do, one job a line; each mode has its own form. */
  readonly plan: readonly string[];
  readonly connections: number;
  /** Until the plan is used up when absent. */
  readonly seconds?: number;
  readonly filler?: string;
  readonly size?: number;
  readonly chunk?: number;
  readonly rate?: number;
  /** Of GET and HEAD. */
  readonly authorization?: string | undefined;
}

export interface WrkRequest {
  readonly host: string;
  readonly target: string;
  readonly connections: number;
  readonly seconds: number;
  readonly authorization?: string | undefined;
}

/** Runs load generators; every failed request is an error of the call. */
export interface LoadGenerators {
  /** wrk: GETs of one target. */
  wrk(request: WrkRequest): Promise<LoadResult>;
  run(mode: Exclude<LoadMode, 'slow'>, request: LoadRequest): Promise<LoadResult>;
  slow(request: LoadRequest): Promise<SlowResult>;
}

const execute = promisify(execFile);
/** As docker sends it; without it Distribution 2.8 answers 404 for an OCI manifest. */
const ACCEPT = [
  MEDIA_TYPES.imageManifest,
  MEDIA_TYPES.imageIndex,
  MEDIA_TYPES.dockerManifest,
  MEDIA_TYPES.dockerManifestList,
  '*/*',
].join(', ');

const SOURCES = fileURLToPath(new URL('load/', import.meta.url));

/** Compiles our generator into `directory` unless it is there already, and newer than its sources. */
export async function openLoadGenerators(directory: string): Promise<LoadGenerators> {
  const binary = path.join(directory, 'load');
  await compile(binary);
  const start = async (mode: LoadMode, { plan, ...request }: LoadRequest) => {
    const running = execute(binary, [mode, '--accept', ACCEPT, ...flags(request)]);
    // It may end before it has read the plan; its own message says why.
    running.child.stdin?.on('error', () => undefined).end(`${plan.join('\n')}\n`);
    return json(await running);
  };
  return {
    wrk: async (request) => checked(json(await execute('wrk', wrkArgs(request)))),
    run: async (mode, request) => checked(await start(mode, request)),
    slow: async (request) => SLOW_RESULT.parse(await start('slow', request)),
  };
}

async function compile(binary: string): Promise<void> {
  const sources = readdirSync(SOURCES).map((name) => path.join(SOURCES, name));
  const built = statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (sources.every((file) => statSync(file).mtimeMs < built)) return;
  mkdirSync(path.dirname(binary), { recursive: true });
  const units = sources.filter((file) => file.endsWith('.c'));
  await execute('cc', ['-O2', '-Wall', '-Wextra', '-std=c11', '-o', binary, ...units]);
}

function flags(request: Omit<LoadRequest, 'plan'>): string[] {
  const given = Object.entries(request).filter(([, value]) => value !== undefined);
  return given.flatMap(([name, value]) => [`--${name}`, String(value)]);
}

function wrkArgs({ host, target, connections, seconds, authorization }: WrkRequest): string[] {
  const script = path.join(SOURCES, 'report.lua');
  return [
    '-t1',
    '-H',
    `Accept: ${ACCEPT}`,
    ...(authorization === undefined ? [] : ['-H', `Authorization: ${authorization}`]),
    `-c${connections}`,
    `-d${seconds}s`,
    '-s',
    script,
    `http://${host}${target}`,
  ];
}

function json({ stdout }: { stdout: string }): unknown {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '');
}

/** @throws Error when it failed or moved nothing */
function checked(output: unknown): LoadResult {
  const result = LOAD_RESULT.parse(output);
  if (result.failures !== undefined && result.failures > 0) {
    throw new Error(`${result.failures} of ${result.jobs} requests failed`);
  }
  if (result.jobs === 0 && result.bytes === 0) throw new Error('the load generator moved nothing');
  return result;
}
