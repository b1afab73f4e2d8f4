import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { startService } from '../harness/service.ts';
import { Client } from './client.ts';
import { bytesOf, digestOf, openUpload, pushBlob, withQuery } from './content.ts';
import { parseAnswers, RawConnection } from './raw.ts';
import { until } from './until.ts';

const LARGE = bytesOf(16 * 1024 * 1024, 'under way while it drains');

async function isRefused(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  const outcome = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(false)).once('error', () => resolve(true));
  });
  socket.destroy();
  return outcome;
}

describe('draining', () => {
  it('running transfers finish, new connections are refused, idle ones are closed', async () => {
    await using service = await startService();
    const client = new Client(service.url);
    const digest = await pushBlob(client, 'drain', LARGE);
    const location = await openUpload(client, 'drain');
    await client.patch(location, 'long ');
    await using idle = new RawConnection(service.port);
    await using download = new RawConnection(service.port);
    await using upload = new RawConnection(service.port);
    idle.write('GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n');
    await idle.receive((bytes) => parseAnswers(bytes).length === 1);
    download.write(`GET /v2/drain/blobs/${digest} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await download.receive((bytes) => bytes.length > 0);
    download.socket.pause();
    const target = withQuery(location, `digest=${digestOf('long before after')}`);
    upload.write(`PUT ${target} HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nbefore`);
    const { uploads } = service.service.metadata;
    await until('an upload under way', async () => {
      const id = location.split('/').at(-1);
      return (await uploads.find(id as Parameters<typeof uploads.find>[0]))?.holder !== undefined;
    });
    client.close();

    const drained = service.drain();
    await until('a refused connection', () => isRefused(service.port));
    await idle.untilClosed();
    upload.write(' after');
    const [pushed] = parseAnswers(await upload.untilClosed());
    assert.equal(pushed?.status, 201);
    assert.equal(pushed.header('Connection'), 'close');
    download.socket.resume();
    const [pulled] = parseAnswers(await download.untilClosed());
    assert.ok(pulled?.bytes.equals(LARGE), 'the transfer was cut');
    await drained;
    assert.deepEqual(service.log.faults, []);

    await using next = await startService({ root: service.root });
    const reader = new Client(next.url);
    assert.equal((await reader.get(`/v2/drain/blobs/${digestOf('long before after')}`)).text, 'long before after');
    reader.close();
  });

  it('what does not finish in time is cut', async () => {
    await using service = await startService({ env: { ENTREPOT_HTTP_DRAIN_TIMEOUT: '100ms' } });
    const client = new Client(service.url);
    const digest = await pushBlob(client, 'drain', LARGE);
    client.close();
    await using download = new RawConnection(service.port);
    download.write(`GET /v2/drain/blobs/${digest} HTTP/1.1\r\nHost: a\r\n\r\n`);
    await download.receive((bytes) => bytes.length > 0);
    download.socket.pause();
    await service.drain();
    assert.ok(service.log.lines.some(({ level, message }) => level === 'warn' && message.includes('cut')));
    download.socket.resume();
    assert.deepEqual(parseAnswers(await download.untilClosed()), []);
  });
});
