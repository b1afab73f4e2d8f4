import assert from 'node:assert/strict';
import { readdir, stat } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { closeSession, openSession, patchRange } from './blob-push.ts';
import { Client } from './client.ts';
import { blobOf, sha256 } from './content.ts';
import { Ledger } from './ledger.ts';
import { Random } from './random.ts';
import { IS_DISTRIBUTION, startSubject } from './subject.ts';

const REPOSITORY = 'team/resumed';
const blob = blobOf(new Random('resumed').bytes(3_000_000));

for (const workers of ['1', '2']) {
  describe(`upload sessions of ${workers} workers`, () => {
    it('survive kill -9 between two PATCHes, again and again', async (t) => {
      await using store = await SessionStore.open(workers);
      let session = await store.begin();
      const size = 500_000;
      let restarts = 0;
      for (let start = 0; start < blob.bytes.length; start += size) {
        assert.equal(await store.offset(session), start);
        session = await patchRange(store.destination(), session, start, blob.bytes.subarray(start, start + size));
        await store.crash();
        restarts += 1;
      }
      assert.equal(await store.offset(session), blob.bytes.length);
      await store.finish(session);
      t.diagnostic(`${restarts} kills in one session of ${blob.bytes.length} bytes`);
    });

    it(
      'go on where GET says after kill -9 in the middle of a PATCH',
      { skip: IS_DISTRIBUTION && 'it forgets' },
      async (t) => {
        await using store = await SessionStore.open(workers);
        const session = await store.begin();
        await patchRange(store.destination(), session, 0, blob.bytes.subarray(0, 100_000));
        await store.crashInPatch(session, blob.bytes.subarray(100_000, 2_500_000));
        const offset = await store.offset(session);
        assert.ok(
          offset > 100_000 && offset <= 2_500_000,
          `what was answered is there, not more than was sent: ${offset}`,
        );
        const next = await patchRange(store.destination(), session, offset, blob.bytes.subarray(offset));
        await store.finish(next);
        t.diagnostic(`of a PATCH of 2400000 bytes ${offset - 100_000} were kept`);
      },
    );

    it('show nothing of the blob before the closing PUT', async () => {
      await using store = await SessionStore.open(workers);
      const session = await store.begin();
      await patchRange(store.destination(), session, 0, blob.bytes);
      await store.crash();
      const target = `/v2/${REPOSITORY}/blobs/${blob.digest}`;
      assert.equal((await store.client.send('HEAD', target)).status, 404);
      await store.finish(session);
    });
  });
}

/** A server that is killed and started again on the same root and the same port. */
class SessionStore implements AsyncDisposable {
  readonly #ledger = new Ledger();
  readonly #directory: { path: string } & AsyncDisposable;
  readonly #args: readonly string[];
  #server: RunningServer;
  client: Client;

  private constructor(directory: { path: string } & AsyncDisposable, args: readonly string[], server: RunningServer) {
    this.#directory = directory;
    this.#args = args;
    this.#server = server;
    this.client = new Client(server.url);
  }

  static async open(workers: string): Promise<SessionStore> {
    const directory = await temporaryDirectory('entrepot-sessions-');
    const args = ['--workers', workers];
    return new SessionStore(directory, args, await startSubject({ root: directory.path, args }));
  }

  destination() {
    return { client: this.client, ledger: this.#ledger, repository: REPOSITORY };
  }

  begin(): Promise<string> {
    return openSession(this.destination());
  }

  async crash(): Promise<void> {
    await this.#server.kill();
    this.client[Symbol.dispose]();
    this.#server = await startSubject({ root: this.#directory.path, args: this.#args });
    this.client = new Client(this.#server.url);
  }

  /** Sends the bytes without the end of the request, and crashes once the server has written some of them. */
  async crashInPatch(session: string, bytes: Buffer): Promise<void> {
    const headers = { 'Content-Type': 'application/octet-stream', 'Content-Length': String(bytes.length + 1) };
    const request = http.request(new URL(session, this.#server.url), { method: 'PATCH', headers });
    const closed = new Promise((resolve) => request.on('close', resolve));
    request.on('error', () => {});
    request.write(bytes);
    const before = await this.#stagedBytes();
    while ((await this.#stagedBytes()) === before) await delay(1);
    await this.crash();
    await closed;
  }

  async #stagedBytes(): Promise<number> {
    const uploads = path.join(this.#directory.path, 'docker/registry/v2/repositories', REPOSITORY, '_uploads');
    const [session = ''] = await readdir(uploads);
    return (await stat(path.join(uploads, session, 'data'))).size;
  }

  /** What GET says about the session: how many bytes it has. */
  async offset(session: string): Promise<number> {
    const { status, headers } = await this.client.send('GET', session);
    assert.equal(status, 204);
    const last = Number(/^0-(\d+)$/.exec(headers['range'] ?? '')?.[1]);
    return last === 0 ? 0 : last + 1;
  }

  /** Closes the session and reads the blob back. */
  async finish(session: string): Promise<void> {
    await closeSession(this.destination(), session, blob);
    const { status, body } = await this.client.send('GET', `/v2/${REPOSITORY}/blobs/${blob.digest}`);
    assert.equal(status, 200);
    assert.equal(sha256(body), blob.digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.#server.kill();
    await this.#directory[Symbol.asyncDispose]();
  }
}
