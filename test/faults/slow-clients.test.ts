import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { closeSession, openSession, patchRange, pushBlob } from './blob-push.ts';
import { Client } from './client.ts';
import { blobOf, sha256, type Blob } from './content.ts';
import { Ledger } from './ledger.ts';
import { Random } from './random.ts';
import { startSubject } from './subject.ts';
import { pull, push, trialImage } from './trial.ts';
import { findings } from './verdict.ts';
import { verifyRegistry } from './verify.ts';
import { TreeVerifier } from './verify-tree.ts';

const REPOSITORY = 'team/slow';
const LARGE_BYTES = 24_000_000;

describe('clients that are slow or go away', () => {
  const stack = new AsyncDisposableStack();
  const ledger = new Ledger();
  /** What nobody ever sent to its end, below the repository. */
  const neverPushed: string[] = [];
  let root: string;
  let server: RunningServer;
  let client: Client;
  const to = () => ({ client, ledger, repository: REPOSITORY });
  const headOf = async (blob: Blob) => (await client.send('HEAD', `/v2/${REPOSITORY}/blobs/${blob.digest}`)).status;

  /** A request that is begun and not ended; what becomes of it does not matter. */
  const begin = (method: string, target: string, headers: Record<string, string>): http.ClientRequest =>
    http.request(new URL(target, server.url), { method, headers, agent: false }).on('error', () => {});

  before(async () => {
    root = path.join(stack.use(await temporaryDirectory('entrepot-slow-')).path, 'store');
    server = stack.use(await startSubject({ root, args: ['--workers', '1'] }));
    client = stack.use(new Client(server.url));
  });
  after(() => stack.disposeAsync());

  it('leave nothing visible when they go away in a PATCH, and may come back', async () => {
    const blob = blobOf(new Random('gone in PATCH').bytes(2_000_000));
    const session = await openSession(to());
    const request = begin('PATCH', session, { 'Content-Length': String(blob.bytes.length) });
    await goAwayAfter(request, blob.bytes.subarray(0, 1_200_000));
    assert.equal(await headOf(blob), 404);
    const offset = await untilReleased(client, session);
    assert.ok(offset <= 1_200_000);
    await closeSession(to(), await patchRange(to(), session, offset, blob.bytes.subarray(offset)), blob);
    assert.equal(await headOf(blob), 200);
  });

  it('leave nothing visible when they go away in a PUT or a POST with the whole blob', async () => {
    for (const method of ['PUT', 'POST']) {
      const blob = blobOf(new Random(`gone in ${method}`).bytes(2_000_000));
      const session = method === 'PUT' ? await openSession(to()) : `/v2/${REPOSITORY}/blobs/uploads/`;
      const headers = { 'Content-Length': String(blob.bytes.length) };
      // All but the last byte: only the end is missing.
      await goAwayAfter(begin(method, `${session}?digest=${blob.digest}`, headers), blob.bytes.subarray(0, -1));
      assert.equal(await headOf(blob), 404);
      neverPushed.push(`blobs/${blob.digest}`);
    }
  });

  it('leave nothing visible when they go away in a manifest', async () => {
    const image = trialImage('gone in manifest');
    for (const blob of image.blobs) await pushBlob(to(), blob, 'streamed', new Random(blob.digest));
    const { bytes, mediaType, digest } = image.document;
    const headers = { 'Content-Type': mediaType, 'Content-Length': String(bytes.length) };
    await goAwayAfter(begin('PUT', `/v2/${REPOSITORY}/manifests/gone`, headers), bytes.subarray(0, -1));
    assert.equal((await client.send('GET', `/v2/${REPOSITORY}/manifests/gone`)).status, 404);
    neverPushed.push('manifests/gone', `manifests/${digest}`);
  });

  it('hold nobody up while they write or read a little at a time', async (t) => {
    const large = blobOf(new Random('large').bytes(LARGE_BYTES));
    await pushBlob(to(), large, 'monolithic', new Random('large'));
    const slow = blobOf(new Random('slow').bytes(64_000));
    const session = await openSession(to());
    const writer = begin('PATCH', session, { 'Content-Length': String(slow.bytes.length) });
    const answered = once(writer, 'response') as Promise<[http.IncomingMessage]>;
    const readers = await Promise.all(Array.from({ length: 20 }, () => openReader(server, large)));
    let pushed = 0;
    for (let start = 0; start < slow.bytes.length; start += 8000) {
      writer.write(slow.bytes.subarray(start, start + 8000));
      const image = trialImage(`beside ${start}`);
      await push({ client, ledger, repository: `beside/n${start}` }, image);
      await pull(client, `beside/n${start}`, image);
      for (const reader of readers) reader.read(1000);
      pushed += 1;
    }
    writer.end();
    const [response] = await answered;
    response.resume();
    assert.equal(response.statusCode, 202);
    await closeSession(to(), session, slow);
    const [first, ...others] = readers;
    for (const reader of others) reader.destroy();
    assert.ok(first);
    const rest = Buffer.concat((await first.toArray()) as Buffer[]);
    assert.equal(sha256(large.bytes.subarray(large.bytes.length - rest.length)), sha256(rest));
    t.diagnostic(`${pushed} images pushed and pulled beside 1 slow writer and ${readers.length} slow readers`);
  });

  it('leave a store in order', async () => {
    assert.equal(neverPushed.length, 4);
    for (const target of neverPushed) {
      assert.equal((await client.send('GET', `/v2/${REPOSITORY}/${target}`)).status, 404, target);
    }
    assert.deepEqual(findings(await verifyRegistry(client, ledger, 'all')), []);
    await server.kill();
    const verdict = await new TreeVerifier(root).verify('all');
    assert.deepEqual(findings(verdict), []);
    assert.ok(verdict.checked > 0);
  });
});

/** Sends the bytes, waits until they are on their way, and cuts the connection. */
async function goAwayAfter(request: http.ClientRequest, bytes: Buffer): Promise<void> {
  const closed = new Promise((resolve) => request.on('close', resolve));
  await new Promise<void>((resolve) => request.write(bytes, () => resolve()));
  request.destroy();
  await closed;
}

/** The bytes that the session has, once the server has noticed that the client is gone. */
async function untilReleased(client: Client, session: string): Promise<number> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    // An empty chunk is refused as long as another request holds the session.
    const { status, headers } = await client.send('PATCH', session, { body: Buffer.alloc(0) });
    if (status === 202) {
      const last = Number(/^0-(\d+)$/.exec(headers['range'] ?? '')?.[1]);
      return last === 0 ? 0 : last + 1;
    }
    assert.ok(performance.now() < deadline, `the session is held: ${status}`);
    await delay(10);
  }
}

/** A pull whose body nobody reads yet. */
async function openReader(server: RunningServer, { digest }: Blob): Promise<http.IncomingMessage> {
  const request = http.get(new URL(`/v2/${REPOSITORY}/blobs/${digest}`, server.url), { agent: false });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  assert.equal(response.statusCode, 200);
  response.on('error', () => {});
  return response;
}
