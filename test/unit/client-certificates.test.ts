import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { ClientCertificates } from '../../server/http/client-certificates.ts';
import { loadTls, type TlsFiles } from '../../server/http/tls.ts';
import { AUTHORITY, certify, NO_OPENSSL, pairOf, type Certified } from '../harness/certificates.ts';
import { temporaryDirectory } from '../harness/process.ts';

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
const ASKING = { requestCert: true, rejectUnauthorized: false };

/** A server that answers with whom the certificate of the connection names; with `options` beside its files. */
async function startServer(files: TlsFiles, options: object = {}) {
  const certificates = new ClientCertificates('commonName');
  const loaded = await loadTls(files);
  const answers = { held: Promise.resolve() };
  const server = createServer({ ...loaded.context, ...ASKING, ...options }, ({ socket }, response) => {
    const shown = JSON.stringify(certificates.userOf(socket) ?? 'nobody');
    void answers.held.then(() => response.end(shown));
  });
  certificates.watch(server);
  // Nothing else is to end a connection here.
  server.keepAliveTimeout = 0;
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => connections.add(socket));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    server,
    certificates,
    /** What each answer waits for. */
    answers,
    port,
    [Symbol.asyncDispose]: async () => {
      server.close();
      for (const connection of connections) connection.destroy();
      await once(server, 'close');
    },
  };
}

async function connectTo(options: ConnectionOptions): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', rejectUnauthorized: false, ...options });
  await once(socket, 'secureConnect');
  return socket;
}

/** The head and the body of the answer to one request. */
async function ask(socket: TLSSocket): Promise<readonly [head: string, body: string]> {
  let text = '';
  const take = (chunk: Buffer) => (text += String(chunk));
  socket.on('data', take).write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  while (!/\r\n\r\n.*["}]\r\n0\r\n\r\n$|\r\n\r\n.*["}]$/s.test(text)) await once(socket, 'data');
  socket.off('data', take);
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return [head, body];
}

const present = (certified: Certified | undefined) => pairOf(certified ?? assert.fail('before it was made'));

/** The last session that the server gave, once it has answered. */
const sessionOf = async (port: number, options: ConnectionOptions) => {
  const socket = await connectTo({ port, ...options });
  const sessions: Buffer[] = [];
  socket.on('session', (session: Buffer) => sessions.push(session));
  const [, answer] = await ask(socket);
  const session = sessions.at(-1) ?? socket.getSession();
  socket.destroy();
  return { answer, session: session ?? assert.fail('no session') };
};

describe('the certificate of a connection', { skip: NO_OPENSSL }, () => {
  const stack = new AsyncDisposableStack();
  let files: Required<TlsFiles>;
  let [alice, root]: Certified[] = [];

  before(async () => {
    const directory = stack.use(await temporaryDirectory()).path;
    const authority = await certify(directory, 'authority', { extensions: AUTHORITY });
    const server = await certify(directory, 'server', { names: ['IP.1 = 127.0.0.1'] });
    files = { ...server, clientAuthorities: authority.certificate };
    alice = await certify(directory, 'alice', { issuer: authority });
    root = await certify(directory, 'root', { issuer: undefined });
  });
  after(() => stack.disposeAsync());

  for (const maxVersion of VERSIONS) {
    it(`is looked at with each connection: a session is never resumed (${maxVersion})`, async () => {
      await using server = await startServer(files);
      const { answer, session } = await sessionOf(server.port, { maxVersion, ...(await present(alice)) });
      assert.equal(answer.includes('alice'), true, answer);
      const bare = await connectTo({ port: server.port, maxVersion, session });
      assert.equal(bare.isSessionReused(), false);
      assert.match((await ask(bare))[1], /nobody/);
      bare.destroy();
      const other = await sessionOf(server.port, { maxVersion, ...(await present(root)) });
      const good = await connectTo({
        port: server.port,
        maxVersion,
        session: other.session,
        ...(await present(alice)),
      });
      assert.match((await ask(good))[1], /"user":"alice"/);
      good.destroy();
    });

    it(`is not believed where a session is resumed all the same (${maxVersion})`, async () => {
      await using server = await startServer(files, { secureOptions: 0 });
      const { answer, session } = await sessionOf(server.port, { maxVersion, ...(await present(alice)) });
      assert.match(answer, /"user":"alice"/);
      const resumed = await connectTo({ port: server.port, maxVersion, session });
      assert.equal(resumed.isSessionReused(), true, 'nothing was tested');
      assert.match((await ask(resumed))[1], /not believed: the connection goes on with an earlier session/);
      resumed.destroy();
    });
  }

  it('is not exchanged for another one in a renegotiation', async () => {
    await using server = await startServer(files);
    const socket = await connectTo({ port: server.port, maxVersion: 'TLSv1.2', ...(await present(alice)) });
    const { promise, resolve } = Promise.withResolvers<Error>();
    // Then also that the connection was cut.
    socket.on('error', resolve).renegotiate({ rejectUnauthorized: false }, (error) => {
      resolve(error ?? new Error('it was done'));
    });
    assert.match((await promise).message, /no renegotiation/);
  });

  it('ends with the trust in its authority, and so does the connection', async () => {
    await using server = await startServer(files);
    const busy = await connectTo({ port: server.port, ...(await present(alice)) });
    const { promise, resolve } = Promise.withResolvers<void>();
    server.answers.held = promise;
    const first = ask(busy);
    await once(server.server, 'request');
    server.certificates.distrustConnections();
    resolve();
    assert.match((await first)[1], /"user":"alice"/);
    const [head, body] = await ask(busy);
    assert.match(body, /not believed: the authorities have changed since/);
    assert.match(head, /^connection: close$/im);
    await once(busy, 'close');
    const again = await connectTo({ port: server.port, ...(await present(alice)) });
    assert.match((await ask(again))[1], /"user":"alice"/);
    again.destroy();
  });

  it('an idle connection is closed when an authority goes', async () => {
    await using server = await startServer(files);
    const idle = await connectTo({ port: server.port, ...(await present(alice)) });
    await ask(idle);
    const closed = once(idle, 'close', { signal: AbortSignal.timeout(10_000) });
    server.certificates.distrustConnections();
    await closed;
  });

  it('is not believed after a handshake that began before an authority went', async () => {
    await using server = await startServer(files);
    const accepted = once(server.server, 'connection');
    const bare: Socket = connectTcp({ host: '127.0.0.1', port: server.port });
    await accepted;
    server.certificates.distrustConnections();
    const socket = await connectTo({ socket: bare, ...(await present(alice)) });
    assert.match((await ask(socket))[1], /the authorities have changed since/);
    socket.destroy();
  });
});
