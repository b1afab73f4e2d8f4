import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { after, before, test } from 'node:test';
import { createBlobSource } from '../../bench/blob-source.ts';
import { sha256 } from '../../bench/client.ts';
import { planLine } from '../../bench/data-set.ts';
import { openLoadGenerators, type LoadGenerators } from '../../bench/load.ts';
import { temporaryDirectory } from '../harness/process.ts';

const hasCompiler = spawnSync('cc', ['--version']).status === 0;
const NEEDS_COMPILER = { skip: hasCompiler ? false : 'there is no C compiler (cc)' };

let directory: Awaited<ReturnType<typeof temporaryDirectory>> | undefined;
let load: LoadGenerators;

before(async () => {
  if (!hasCompiler) return;
  directory = await temporaryDirectory('bench-load-');
  load = await openLoadGenerators(directory.path);
});
after(() => directory?.[Symbol.asyncDispose]());

function directoryPath(): string {
  assert.ok(directory !== undefined);
  return directory.path;
}

/** Serves with `listener` on a free port while `work` runs. */
async function serving<Result>(listener: RequestListener, work: (host: string) => Promise<Result>): Promise<Result> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  try {
    return await work(`127.0.0.1:${address.port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** Takes uploads as a registry does and keeps the pushed bytes by digest. */
function createRegistry(locationOf: (request: IncomingMessage, path: string) => string) {
  const blobs = new Map<string, Buffer>();
  const uploads = new Map<string, Buffer>();
  const ranges: string[] = [];
  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await bodyOf(request);
    const url = new URL(request.url ?? '', 'http://bench');
    const id = request.method === 'POST' ? `/upload/${uploads.size}` : url.pathname;
    const bytes = Buffer.concat([uploads.get(id) ?? Buffer.alloc(0), body]);
    uploads.set(id, bytes);
    if (request.method === 'PATCH') ranges.push(request.headers['content-range'] ?? 'none');
    if (request.method === 'PUT') blobs.set(url.searchParams.get('digest') ?? '', bytes);
    response.writeHead(request.method === 'PUT' ? 201 : 202, { Location: locationOf(request, `${id}?state=x`) }).end();
  };
  return { blobs, ranges, listener: (request, response) => void answer(request, response) } satisfies {
    listener: RequestListener;
    blobs: Map<string, Buffer>;
    ranges: string[];
  };
}

function answerHead(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Length': 5000 }).end();
}

function cutOff(_: IncomingMessage, response: ServerResponse): void {
  response.writeHead(200, { 'Content-Length': 1000 }).write('x');
  setImmediate(() => response.destroy());
}

const LOCATIONS = {
  relative: (_request: IncomingMessage, path: string) => path,
  absolute: (request: IncomingMessage, path: string) => `http://${request.headers.host}${path}`,
};

for (const [form, locationOf] of Object.entries(LOCATIONS)) {
  for (const chunk of [undefined, 100_000]) {
    test(
      `pushes ${chunk === undefined ? 'monolithic' : 'in chunks'} with ${form} locations, byte for byte`,
      NEEDS_COMPILER,
      async () => {
        const source = createBlobSource(directoryPath());
        const size = 1_300_000;
        const pushed = [source.blob(size), source.blob(size), source.blob(size)];
        const registry = createRegistry(locationOf);
        const result = await serving(registry.listener, (host) =>
          load.run('push', {
            host,
            plan: pushed.map((blob) => planLine('a/b', blob)),
            connections: 2,
            filler: source.fillerFile,
            size,
            ...(chunk === undefined ? {} : { chunk }),
          }),
        );
        assert.equal(result.jobs, 3);
        assert.equal(registry.blobs.size, 3);
        for (const blob of pushed) {
          const bytes = registry.blobs.get(blob.digest);
          assert.ok(bytes !== undefined && bytes.equals(source.bytes(blob)));
          assert.equal(sha256(bytes), blob.digest);
        }
        assert.equal(registry.ranges.length, chunk === undefined ? 0 : 3 * 13);
        assert.equal(registry.ranges.includes('1200000-1299999'), chunk !== undefined);
      },
    );
  }
}

test(
  'reads chunked and counted bodies to their end, over connections that close and that stay',
  NEEDS_COMPILER,
  async () => {
    let answers = 0;
    const listener: RequestListener = (request, response) => {
      answers++;
      if (request.url === '/closes') response.setHeader('Connection', 'close');
      if (request.url !== '/chunks') response.setHeader('Content-Length', 50_000);
      for (let piece = 0; piece < 5; piece++) response.write(Buffer.alloc(10_000, 1));
      response.end();
    };
    const plan = ['/counted', '/chunks', '/closes'];
    const result = await serving(listener, (host) => load.run('get', { host, plan, connections: 3, seconds: 0.3 }));
    assert.ok(result.jobs >= 3, `${result.jobs} jobs`);
    assert.ok(answers >= result.jobs);
    assert.ok(result.bytes >= result.jobs * 50_000);
  },
);

test('a HEAD has no body to wait for', NEEDS_COMPILER, async () => {
  const request = { plan: ['/'], connections: 1, seconds: 0.2 };
  const result = await serving(answerHead, (host) => load.run('head', { host, ...request }));
  assert.ok(result.jobs > 1);
  assert.equal(result.bytes, 0);
});

test('a list is one job however many pages it has', NEEDS_COMPILER, async () => {
  const targets: string[] = [];
  const listener: RequestListener = (request, response) => {
    targets.push(request.url ?? '');
    const page = Number(new URL(request.url ?? '', 'http://bench').searchParams.get('last') ?? 0);
    if (page < 3) response.setHeader('Link', `</list?n=1&last=${page + 1}>; rel="next"`);
    response.end('{}');
  };
  const request = { plan: ['/list?n=1'], connections: 1, seconds: 0.2 };
  const result = await serving(listener, (host) => load.run('list', { host, ...request }));
  const pages = ['/list?n=1', '/list?n=1&last=1', '/list?n=1&last=2', '/list?n=1&last=3'];
  assert.deepEqual(targets.slice(0, 4), pages);
  // The list that was being read when the time was over does not count.
  assert.ok(result.jobs > 1 && result.jobs <= targets.length / 4 && result.jobs >= targets.length / 4 - 2);
});

test('one unexpected status fails the run and is named', NEEDS_COMPILER, async () => {
  let answers = 0;
  const listener: RequestListener = (_, response) => void response.writeHead(++answers === 20 ? 503 : 200).end();
  const request = { plan: ['/here'], connections: 2, seconds: 5 };
  await assert.rejects(
    serving(listener, (host) => load.run('get', { host, ...request })),
    /status 503 instead of 200, after: GET \/here/,
  );
});

test('a body that is cut off fails the run', NEEDS_COMPILER, async () => {
  const request = { plan: ['/'], connections: 1, seconds: 5 };
  await assert.rejects(
    serving(cutOff, (host) => load.run('get', { host, ...request })),
    /closed the connection|reset/,
  );
});

test('a small PUT sends its body, and stops when the plan is used up', NEEDS_COMPILER, async () => {
  const bodies: string[] = [];
  const listener: RequestListener = (request, response) => {
    void bodyOf(request).then((body) => {
      bodies.push(`${request.headers['content-type']} ${body.toString()}`);
      response.writeHead(201).end();
    });
  };
  const plan = ['/v2/a/manifests/1\ttext/x\t{"a":1}', '/v2/a/manifests/2\ttext/x\t{"a":2}'];
  const result = await serving(listener, (host) => load.run('put', { host, plan, connections: 4 }));
  assert.equal(result.jobs, 2);
  assert.deepEqual(bodies.sort(), ['text/x {"a":1}', 'text/x {"a":2}']);
});

test('slow pullers keep to their rate, and say who still progresses', NEEDS_COMPILER, async () => {
  const size = 1 << 20;
  const body = Buffer.alloc(size);
  const listener: RequestListener = (_, response) => void response.writeHead(200, { 'Content-Length': size }).end(body);
  const request = { plan: ['/'], connections: 20, seconds: 1, rate: 50_000 };
  const result = await serving(listener, (host) => load.slow({ host, ...request }));
  assert.equal(result.progressing, 20);
  assert.ok(result.leastBytes > 25_000 && result.bytes <= 20 * 51_000, JSON.stringify(result));
});
