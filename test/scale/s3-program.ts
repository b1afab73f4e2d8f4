import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { createClient } from '../../storage/blobs/s3/client.ts';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import { tool } from '../clients/tools.ts';
import { freePort, temporaryDirectory } from '../harness/process.ts';

export const BUCKET = 'registry';
export const ACCESS = 'entrepot-test';
export const SECRET = 'entrepot-test-secret';
const START_MS = 30_000;

/** A real S3 server with one bucket, in a directory of its own. */
export interface S3Server extends AsyncDisposable {
  /** How to reach its bucket, with no prefix. */
  readonly options: S3Options;
  readonly pid: number;
}

/** An S3 server that can be had as a program. */
export interface S3Program {
  readonly name: string;
  /** Why it cannot be started; false when it can. */
  readonly missing: string | false;
  start(): Promise<S3Server>;
}

/** The first attempts fail while the parts of the server find each other. */
export async function createBucket(options: S3Options): Promise<void> {
  const client = createClient(options);
  const deadline = performance.now() + START_MS;
  for (;;) {
    try {
      await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
      break;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await delay(200);
    }
  }
  client.destroy();
}

export async function startProgram(
  name: string,
  argsOf: (directory: string, port: number) => Promise<readonly string[]>,
): Promise<S3Server> {
  const directory = await temporaryDirectory(`${name}-`);
  const port = await freePort();
  let output = '';
  const child = spawn(tool(name), [...(await argsOf(directory.path, port))], { stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output = (output + text).slice(-10_000)));
  }
  const ended = once(child, 'exit');
  const endpoint = `http://127.0.0.1:${port}`;
  const dispose = async () => {
    child.kill('SIGKILL');
    await ended;
    await directory[Symbol.asyncDispose]();
  };
  try {
    await untilAnswers(endpoint, () => child.exitCode ?? child.signalCode);
  } catch (error) {
    await dispose();
    throw new Error(`${name} did not start: ${String(error)}\n${output}`, { cause: error });
  }
  return { options: optionsAt(endpoint), pid: child.pid ?? 0, [Symbol.asyncDispose]: dispose };
}

/** Whatever it answers: without a signature it refuses. */
export async function untilAnswers(url: string, hasEnded: () => number | string | null): Promise<void> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    if (hasEnded() !== null) throw new Error(`it ended with ${hasEnded()}`);
    try {
      await (await fetch(url, { signal: AbortSignal.timeout(1000) })).arrayBuffer();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await delay(20);
  }
}

/** How to reach the bucket of a server with the account of the tests. */
export function optionsAt(endpoint: string): S3Options {
  return {
    bucket: BUCKET,
    prefix: '',
    region: 'us-east-1',
    endpoint,
    isPathStyle: true,
    credentials: { accessKeyId: ACCESS, secretAccessKey: SECRET },
    partMemoryBytes: 128 * 1024 * 1024,
  };
}
