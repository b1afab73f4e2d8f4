import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Stands between a program and its S3 server like a network that keeps requests for as long as it likes. */
export interface HoldingProxy extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, in place of the server's own. */
  readonly endpoint: string;
  /** From now on one bit of each body of some bytes that is to be stored is another one. */
  damage(): void;
  /** From now on requests that change something are kept. */
  hold(): void;
  /** Resolves when `count` are kept. */
  holds(count: number): Promise<void>;
  /** When the last of those that are kept runs out, in milliseconds since 1970; throws where one never does. */
  lastEnd(): number;
  /** Hands them to the server, and passes the rest on at once. */
  release(): void;
}

interface Held {
  readonly url: URL;
  send(): void;
}

/** @param server its URL */
export async function startHoldingProxy(server: string): Promise<HoldingProxy> {
  const agent = new http.Agent({ keepAlive: true });
  const held: Held[] = [];
  let isHolding = false;
  let isDamaging = false;
  const waiting = new Set<() => void>();
  const pass = async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const url = new URL(request.url ?? '/', server);
    const body = Buffer.concat(chunks);
    if (isDamaging && request.method === 'PUT' && body.length > 0) body[0] = (body[0] ?? 0) ^ 1;
    const send = () => forward(agent, url, request, body, response);
    if (!isHolding || request.method === 'GET' || request.method === 'HEAD') return send();
    held.push({ url, send });
    for (const look of waiting) look();
  };
  const proxy = http.createServer((request, response) => void pass(request, response).catch(() => response.destroy()));
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    damage: () => {
      isDamaging = true;
    },
    hold: () => {
      isHolding = true;
    },
    holds: async (count) => {
      while (held.length < count) {
        await new Promise<void>((resolve) => {
          waiting.clear();
          waiting.add(resolve);
        });
      }
    },
    lastEnd: () => Math.max(...held.map(({ url }) => endOf(url))),
    release: () => {
      isHolding = false;
      for (const kept of held.splice(0)) kept.send();
    },
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      proxy.closeAllConnections();
      proxy.close();
      await once(proxy, 'close');
    },
  };
}

function forward(agent: http.Agent, url: URL, request: IncomingMessage, body: Buffer, response: ServerResponse): void {
  // The signature covers the host that the client knows: the headers go on unchanged.
  const onward = http.request(url, { agent, method: request.method, headers: request.headers });
  onward.on('response', (answered) => {
    response.writeHead(answered.statusCode ?? 502, answered.headers);
    answered.pipe(response);
  });
  onward.on('error', () => response.destroy());
  onward.end(body);
}

function endOf({ searchParams }: URL): number {
  const [date, time] = (searchParams.get('X-Amz-Date') ?? '').replace('Z', '').split('T');
  if (date === undefined || time === undefined) throw new Error(`not presigned: ${searchParams.toString()}`);
  const [day, clock] = [date.replace(/^(....)(..)(..)$/, '$1-$2-$3'), time.replace(/^(..)(..)(..)$/, '$1:$2:$3')];
  return Date.parse(`${day}T${clock}Z`) + Number(searchParams.get('X-Amz-Expires')) * 1000;
}
