import assert from 'node:assert/strict';
import { once } from 'node:events';
import http, { type RequestListener } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { freePort } from '../harness/process.ts';
import { startRoundRobin } from '../harness/round-robin.ts';

const resources = new AsyncDisposableStack();
after(() => resources.disposeAsync());

/** A server; its URL. */
async function serve(listener: RequestListener, expecting: RequestListener = listener): Promise<string> {
  const server = http.createServer(listener).on('checkContinue', expecting).listen(0, '127.0.0.1');
  await once(server, 'listening');
  resources.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return urlOf(server);
}

function urlOf(server: net.Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Sends text over one connection and gives what came back until `pattern` occurs in it. */
async function converse(host: string, text: string, pattern: RegExp): Promise<string> {
  const socket = net.connect(Number(host.split(':')[1]), '127.0.0.1');
  let heard = '';
  socket.setEncoding('latin1').write(text);
  for await (const data of socket) {
    heard += String(data);
    if (pattern.test(heard)) break;
  }
  socket.destroy();
  return heard;
}

const named =
  (name: string): RequestListener =>
  (request, response) => {
    request.resume();
    response.end(`I am ${name}.`);
  };

describe('the balancer of the tests', () => {
  it('changes server with every request of one connection', async () => {
    await using balancer = await startRoundRobin([await serve(named('one')), await serve(named('two'))]);
    const requests = 'GET /a HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(4);
    const heard = await converse(balancer.host, requests, /(I am .*){4}/s);
    assert.deepEqual(heard.match(/I am \w+/g), ['I am one', 'I am two', 'I am one', 'I am two']);
    assert.deepEqual(balancer.served, [2, 2]);
  });

  it('passes on the target, the headers and the body as they are', async () => {
    const seen: unknown[] = [];
    const url = await serve((request, response) => {
      request.setEncoding('latin1').on('data', (data) => seen.push(data));
      request.on('end', () => {
        seen.push(request.url, request.headers.host, request.headers['x-twice']);
        response.writeHead(201, 'Made', ['Location', '/v2/?a=b', 'Set-Cookie', 'a', 'Set-Cookie', 'b']).end();
      });
    });
    await using balancer = await startRoundRobin([url]);
    const text =
      'PUT /v2/a%20b?x=%3D HTTP/1.1\r\nHost: registry.example:1\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 3\r\n\r\nabc';
    const heard = await converse(balancer.host, text, /\r\n\r\n/);
    assert.deepEqual(seen, ['abc', '/v2/a%20b?x=%3D', 'registry.example:1', '1, 2']);
    assert.match(heard, /^HTTP\/1\.1 201 Made\r\nLocation: \/v2\/\?a=b\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n/);
  });

  it('asks the client for the body when the server does', async () => {
    const body: string[] = [];
    const url = await serve(
      () => assert.fail('nobody expects'),
      (request, response) => {
        response.writeContinue();
        request.setEncoding('latin1').on('data', (data: string) => body.push(data));
        request.on('end', () => response.end('thanks'));
      },
    );
    await using balancer = await startRoundRobin([url]);
    const head = 'PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n';
    const socket = net.connect(Number(balancer.host.split(':')[1]), '127.0.0.1').setEncoding('latin1');
    socket.write(head);
    assert.equal(String((await once(socket, 'data'))[0]), 'HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('ok');
    assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 OK\r\n/);
    socket.destroy();
    assert.deepEqual(body, ['ok']);
  });

  it('does not ask for it when the server refuses, and ends the connection', async () => {
    const url = await serve(named('nobody'), (_request, response) => void response.writeHead(401).end());
    await using balancer = await startRoundRobin([url]);
    const head = 'PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n';
    const heard = await converse(balancer.host, head, /never/);
    assert.match(heard, /^HTTP\/1\.1 401 /);
    assert.match(heard, /Connection: close/);
  });

  it('goes to the next one while a server takes no connections', async () => {
    const gone = `http://127.0.0.1:${await freePort()}`;
    await using balancer = await startRoundRobin([gone, await serve(named('two'))]);
    for (const method of ['GET', 'PUT', 'PUT']) {
      const answer = await fetch(balancer.url, { method, ...(method === 'PUT' && { body: 'x'.repeat(100_000) }) });
      assert.equal(await answer.text(), 'I am two.');
    }
    assert.equal(balancer.failed, 0);
  });

  it('repeats a read of which a server died, and says of a write that nobody knows', async () => {
    const dying = net.createServer((socket) => socket.once('data', () => socket.destroy())).listen(0, '127.0.0.1');
    await once(dying, 'listening');
    resources.defer(() => void dying.close());
    await using balancer = await startRoundRobin([urlOf(dying), await serve(named('two'))]);
    assert.equal(await (await fetch(balancer.url)).text(), 'I am two.');
    await (await fetch(balancer.url)).text();
    assert.equal((await fetch(balancer.url, { method: 'PUT', body: 'x' })).status, 502);
    assert.equal(balancer.failed, 1);
  });

  it('breaks off what the other side breaks off', async () => {
    const broken = Promise.withResolvers<void>();
    const url = await serve((request, response) => {
      if (request.method === 'GET') {
        response.writeHead(200, { 'Content-Length': '10' }).write('12345');
        setImmediate(() => response.destroy());
      } else request.on('error', () => broken.resolve()).resume();
    });
    await using balancer = await startRoundRobin([url]);
    await assert.rejects(async () => (await fetch(balancer.url)).text());
    const socket = net.connect(Number(balancer.host.split(':')[1]), '127.0.0.1');
    socket.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345');
    while (balancer.served[0] !== 2) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.destroy();
    await broken.promise;
  });
});
