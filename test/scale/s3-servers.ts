import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import { missingTools, tool } from '../clients/tools.ts';
import { freePort, temporaryDirectory } from '../harness/process.ts';

const BUCKET = 'registry';
const ACCESS = 'entrepot-test';
const SECRET = 'entrepot-test-secret';
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

/** https://github.com/versity/versitygw over a directory. */
export const versitygw: S3Program = {
  name: 'versitygw',
  missing: missingTools('versitygw'),
  start: () =>
    startProgram('versitygw', async (directory, port) => {
      await mkdir(path.join(directory, BUCKET));
      const address = `127.0.0.1:${port}`;
      return ['--port', address, '--access', ACCESS, '--secret', SECRET, '--quiet', '--keep-alive', 'posix', directory];
    }),
};

async function startProgram(
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
  const options = {
    bucket: BUCKET,
    prefix: '',
    region: 'us-east-1',
    endpoint,
    isPathStyle: true,
    credentials: { accessKeyId: ACCESS, secretAccessKey: SECRET },
    partMemoryBytes: 128 * 1024 * 1024,
  };
  return { options, pid: child.pid ?? 0, [Symbol.asyncDispose]: dispose };
}

/** Whatever it answers: without a signature it refuses. */
async function untilAnswers(url: string, hasEnded: () => number | string | null): Promise<void> {
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
