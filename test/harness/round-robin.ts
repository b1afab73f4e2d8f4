import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const LOOK_EVERY_MS = 500;
const LOOK_FOR_MS = 1000;

/** A load balancer that sends every request to the next server, also those of one kept-alive connection. */
export interface RoundRobin extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, no slash at the end. */
  readonly url: string;
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** How many requests each server got, in the order in which they were given. */
  readonly served: readonly number[];
  /** Requests that were answered with 502: their server died, and nobody knows how far it came. */
  readonly failed: number;
}

/**
 * Passes requests on as they are, the headers and the `Host` too, and what is sent in both directions without gathering
 * it. An abort on one side is one on the other.
 *
 * A server that does not answer `/readyz` in a second is passed over, as long as another does. So is one that takes no
 * connection, and for GET and HEAD one that dies before it answers; all else is then answered with 502.
 *
 * @param targets URLs without a path
 */
export async function startRoundRobin(targets: readonly string[]): Promise<RoundRobin> {
  const balancer = new Balancer(targets.map((url) => new Target(url)));
  const server = http.createServer();
  // A proxy has no opinion on how long an upload may take.
  server.requestTimeout = 0;
  server.on('request', (request, response) => balancer.pass(request, response));
  server.on('checkContinue', (request, response) => balancer.pass(request, response));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url: `http://${host}`,
    host,
    get served() {
      return balancer.targets.map(({ served }) => served);
    },
    get failed() {
      return balancer.failed;
    },
    [Symbol.asyncDispose]: async () => {
      balancer.close();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

class Target {
  readonly url: string;
  readonly agent = new http.Agent({ keepAlive: true });
  served = 0;
  isReady = true;

  constructor(url: string) {
    this.url = url;
  }

  async look(): Promise<void> {
    try {
      const signal = AbortSignal.timeout(LOOK_FOR_MS);
      const answer = await fetch(`${this.url}/readyz`, { signal });
      await answer.arrayBuffer();
      this.isReady = answer.status === 200;
    } catch {
      this.isReady = false;
    }
  }
}

class Balancer {
  readonly targets: readonly Target[];
  readonly #timer: NodeJS.Timeout;
  #next = 0;
  failed = 0;

  constructor(targets: readonly Target[]) {
    this.targets = targets;
    this.#timer = setInterval(() => {
      for (const target of targets) void target.look();
    }, LOOK_EVERY_MS).unref();
  }

  pass(request: IncomingMessage, response: ServerResponse): void {
    this.#try(request, response, this.#inTurn());
  }

  close(): void {
    clearInterval(this.#timer);
    for (const { agent } of this.targets) agent.destroy();
  }

  /** All that are ready, the one whose turn it is first; everybody where nobody is ready. */
  #inTurn(): Target[] {
    const { targets } = this;
    const first = this.#next++ % targets.length;
    const turned = [...targets.slice(first), ...targets.slice(0, first)];
    const ready = turned.filter(({ isReady }) => isReady);
    return ready.length === 0 ? turned : ready;
  }

  #try(request: IncomingMessage, response: ServerResponse, [target, ...others]: Target[]): void {
    if (target === undefined) return this.#fail(response);
    const onward = http.request(new URL(request.url ?? '/', target.url), {
      agent: target.agent,
      ...(request.method !== undefined && { method: request.method }),
      headers: onwardHeaders(request),
    });
    let isSent = false;
    let isAnswered = false;
    let isBodyWanted = request.headers.expect === undefined;
    const abort = () => onward.destroy();
    response.on('close', abort);
    const send = () => {
      isSent = true;
      target.served += 1;
      if (isBodyWanted) request.pipe(onward);
      else onward.flushHeaders();
    };
    onward.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', send);
      else send();
    });
    onward.on('continue', () => {
      isBodyWanted = true;
      response.writeContinue();
      request.pipe(onward);
    });
    onward.on('response', (answered) => {
      isAnswered = true;
      passBack(answered, response, isBodyWanted);
    });
    onward.on('error', () => {
      response.off('close', abort);
      request.unpipe(onward);
      if (isAnswered || response.destroyed) response.destroy();
      else if (!isSent || isRepeatable(request)) this.#try(request, response, others);
      else this.#fail(response);
    });
  }

  #fail(response: ServerResponse): void {
    this.failed += 1;
    // What is left of the request is not read: the connection ends with the answer.
    response.writeHead(502, { 'Content-Type': 'text/plain', Connection: 'close' }).end('bad gateway\n');
  }
}

function isRepeatable({ method }: IncomingMessage): boolean {
  return method === 'GET' || method === 'HEAD';
}

function passBack(answered: IncomingMessage, response: ServerResponse, isBodyWanted: boolean): void {
  response.sendDate = false;
  const headers = endToEnd(answered.rawHeaders, ['transfer-encoding']);
  // A body that nobody asked for, and that comes all the same, must not be taken for a request.
  if (!isBodyWanted) headers.push('Connection', 'close');
  response.writeHead(answered.statusCode ?? 502, answered.statusMessage, headers);
  answered.on('error', () => response.destroy());
  answered.pipe(response);
}

function onwardHeaders({ method = '', rawHeaders, headers }: IncomingMessage): string[] {
  const onward = endToEnd(rawHeaders, []);
  // Node would announce a body of unknown length.
  const hasLength = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
  if (!hasLength && method !== 'GET' && method !== 'HEAD') onward.push('Content-Length', '0');
  return onward;
}

const HOP_BY_HOP = ['connection', 'keep-alive', 'proxy-connection', 'te', 'upgrade'];

/** Names and values in turn, without those that are about one connection (RFC 9110 section 7.6.1). */
function endToEnd(raw: readonly string[], more: readonly string[]): string[] {
  const dropped = [...HOP_BY_HOP, ...more];
  const kept: string[] = [];
  for (let at = 0; at < raw.length; at += 2) {
    const [name = '', value = ''] = raw.slice(at, at + 2);
    if (!dropped.includes(name.toLowerCase())) kept.push(name, value);
  }
  return kept;
}
