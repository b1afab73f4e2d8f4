import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { truncate, writeFile } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Buffers } from '../../server/http/buffers.ts';
import { ResponseClosed, sendBlob } from '../../server/http/blob-sender.ts';
import { bytesSent, lazySendfile, type Sendfile } from '../../server/http/sendfile.ts';
import { TransferBudget } from '../../server/http/transfer-budget.ts';
import { StorageError, type ByteRange } from '../../storage/blobs/driver.ts';
import { openReader } from '../../storage/blobs/file-reader.ts';
import { temporaryDirectory } from '../harness/process.ts';

const MEBIBYTE = 1024 * 1024;
const CONTENT = randomBytes(9 * MEBIBYTE + 4321);

const sendfile = lazySendfile()();

interface Sending {
  readonly url: string;
  readonly file: string;
  /** What became of the last request. */
  readonly outcome: () => Promise<unknown>;
  /** Bytes of the last request that no write of Node's knows of. */
  readonly handedOver: () => number;
}

/** A server that answers every request with a file, or with a part of it. */
async function sending(
  test: (server: Sending) => Promise<void>,
  { using = sendfile, range }: { using?: Sendfile | undefined; range?: ByteRange } = {},
): Promise<void> {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'data');
  await writeFile(file, CONTENT);
  const buffers = new Buffers(new TransferBudget(8 * MEBIBYTE));
  let outcome: Promise<unknown> = Promise.resolve();
  let socket: Socket | undefined;
  const server = http.createServer((request, response) => {
    socket = request.socket;
    const reader = openReader(file, range);
    assert.ok(reader);
    response.writeHead(200, { 'Content-Length': reader.size });
    const sent = sendBlob(response, reader, { buffers, sendfile: () => using }).then(() => void response.end());
    outcome = sent
      .catch((error: unknown) => {
        response.destroy();
        return error;
      })
      .finally(() => void reader.close());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await test({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
      file,
      outcome: () => outcome,
      handedOver: () => (socket === undefined ? 0 : bytesSent(socket) - socket.bytesWritten),
    });
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function get(url: string, agent?: http.Agent): Promise<http.IncomingMessage> {
  const request = http.get(url, agent === undefined ? {} : { agent });
  const [response] = (await once(request, 'response')) as [http.IncomingMessage];
  return response;
}

async function bytesOf(response: http.IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await response.toArray());
}

describe('sendfile', { skip: sendfile === undefined && 'this Node has no node:ffi' }, () => {
  it('moves a file past the buffers, byte for byte, and leaves the connection fit for the next', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    await sending(async ({ url, handedOver }) => {
      for (let i = 0; i < 3; i++) {
        assert.ok((await bytesOf(await get(url, agent))).equals(CONTENT));
      }
      assert.ok(handedOver() > 2 * CONTENT.length, `${handedOver()} bytes`);
    });
    agent.destroy();
  });

  it('moves a part of it', async () => {
    const range = { start: MEBIBYTE - 3, end: 7 * MEBIBYTE + 11 };
    await sending(
      async ({ url, handedOver }) => {
        assert.ok((await bytesOf(await get(url))).equals(CONTENT.subarray(range.start, range.end + 1)));
        assert.ok(handedOver() > 0);
      },
      { range },
    );
  });

  it('waits for a client that reads slowly', async () => {
    await sending(async ({ url, handedOver }) => {
      const response = await get(url);
      response.pause();
      await delay(200);
      assert.ok(handedOver() < CONTENT.length, 'the kernel took all of it at once: nothing was waited for');
      assert.ok((await bytesOf(response)).equals(CONTENT));
      assert.ok(handedOver() > 0);
    });
  });

  it('leaves what is not in memory to the buffers, and goes on behind it', async () => {
    assert.ok(sendfile);
    let asked = 0;
    const half: Sendfile = {
      isCached: (file, count) => asked++ % 2 === 1 && sendfile.isCached(file, count),
      send: (socket, file, count) => sendfile.send(socket, file, Math.min(count, 12_345)),
      read: (file, buffer) => (asked % 3 === 0 ? 0 : sendfile.read(file, buffer)),
    };
    const range = { start: 0, end: CONTENT.length - 1 };
    await sending(
      async ({ url }) => {
        assert.ok((await bytesOf(await get(url))).equals(CONTENT));
        assert.ok(asked > 0);
      },
      { using: half, range },
    );
  });

  it('ends with an error when the client goes away', async () => {
    await sending(async ({ url, outcome }) => {
      const response = await get(url);
      response.destroy();
      assert.ok((await outcome()) instanceof ResponseClosed);
    });
  });

  it('ends with an error when the file is shorter than it was', async () => {
    await sending(async ({ url, file, outcome }) => {
      const response = await get(url);
      response.pause();
      await truncate(file, 5 * MEBIBYTE);
      await assert.rejects(bytesOf(response));
      const error = await outcome();
      assert.ok(error instanceof StorageError && error.failure === 'truncated', String(error));
    }, {});
  });

  it('says what lies in memory, and reads no more than that', async () => {
    assert.ok(sendfile);
    await using directory = await temporaryDirectory();
    const file = path.join(directory.path, 'data');
    await writeFile(file, CONTENT);
    const reader = openReader(file);
    assert.ok(reader?.file);
    assert.equal(sendfile.isCached(reader.file, MEBIBYTE), true);
    assert.equal(sendfile.isCached(reader.file, CONTENT.length + 1), false);
    const buffer = Buffer.alloc(1000);
    assert.equal(sendfile.read(reader.file, buffer), 1000);
    assert.ok(buffer.equals(CONTENT.subarray(0, 1000)));
    assert.equal(reader.file.position, 1000);
    await reader.close();
  });
});
