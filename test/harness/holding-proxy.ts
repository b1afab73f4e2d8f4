import { EventEmitter, once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

/** Which requests are held: by the method, and the target. */
export type IsHeld = (method: string, target: string) => boolean;

interface Held {
  readonly target: string;
  send(): Promise<number>;
  cut(): void;
}

const WITHIN_MS = 10_000;
const isChange: IsHeld = (method) => method !== 'GET' && method !== 'HEAD';
const isNothing: IsHeld = () => false;

/** Stands between a program and its S3 server like a network that holds requests for as long as it likes. */
export class HoldingProxy implements AsyncDisposable {
  readonly #server: http.Server;
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #origin: string;
  readonly #arrivals = new EventEmitter();
  #isHeld = isNothing;
  #isDamaging = false;
  #held: Held[] = [];

  private constructor(origin: string) {
    this.#origin = origin;
    this.#server = http.createServer((request, response) => void this.#pass(request, response));
  }

  /** @param origin the URL of the S3 server, which need not run yet */
  static async start(origin: string): Promise<HoldingProxy> {
    const proxy = new HoldingProxy(origin);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** `http://127.0.0.1:PORT`, in place of the server's own. */
  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From now on one bit of each body of some bytes that is to be stored is another one. */
  damage(): void {
    this.#isDamaging = true;
  }

  /** From now on keeps what comes and fits; every change, unless told otherwise. */
  hold(isHeld = isChange): void {
    this.#isHeld = isHeld;
  }

  /** Resolves when so many are here, whole. @throws Error when they do not come within ten seconds */
  async holds(count: number): Promise<void> {
    const signal = AbortSignal.timeout(WITHIN_MS);
    while (this.#held.length < count) await once(this.#arrivals, 'held', { signal });
  }

  /** `hold`, until one more is here. */
  async holdNext(isHeld: IsHeld): Promise<void> {
    this.hold(isHeld);
    await this.holds(this.#held.length + 1);
  }

  /** Holds no more, and ends the connections of those that it has: whoever sent them may send them again. */
  cut(): void {
    this.#isHeld = isNothing;
    for (const held of this.#held) held.cut();
  }

  /** When the last of those that are held runs out, in milliseconds since 1970. @throws Error where one never does */
  lastEnd(): number {
    return Math.max(...this.#held.map(({ target }) => endOf(new URL(target, this.#origin))));
  }

  /** Sends on what was held, late, and holds nothing more. @returns with what status the S3 server answered each */
  async release(): Promise<readonly number[]> {
    this.#isHeld = isNothing;
    return Promise.all(this.#held.splice(0).map((held) => held.send()));
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: target = '' } = request;
    // Whatever the client does meanwhile: it is on its way.
    response.on('error', () => {});
    request.on('error', () => {});
    const body = await buffer(request).catch(() => undefined);
    if (body === undefined) return;
    if (this.#isDamaging && method === 'PUT' && body.length > 0) body[0] = (body[0] ?? 0) ^ 1;
    const send = () => this.#send(request, response, body);
    if (this.#isHeld(method, decodeURIComponent(target))) {
      this.#held.push({ target, send, cut: () => request.socket.destroy() });
      this.#arrivals.emit('held');
    } else await send().catch(() => response.destroy());
  }

  /** The signature covers the host that the client knows: the headers go on unchanged. */
  async #send(
    { method = '', url = '', headers }: IncomingMessage,
    response: ServerResponse,
    body: Buffer,
  ): Promise<number> {
    const onward = http.request(new URL(url, this.#origin), { agent: this.#agent, method, headers });
    onward.end(body);
    const [answered] = (await once(onward, 'response')) as [IncomingMessage];
    const { statusCode = 0, headers: received } = answered;
    if (!response.destroyed) response.writeHead(statusCode, received);
    answered.pipe(response);
    await once(answered, 'end');
    return statusCode;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** By the times that presigned requests have in their query. */
function endOf({ searchParams }: URL): number {
  const [date, time] = (searchParams.get('X-Amz-Date') ?? '').replace('Z', '').split('T');
  if (date === undefined || time === undefined) throw new Error(`not presigned: ${searchParams.toString()}`);
  const [day, clock] = [date.replace(/^(....)(..)(..)$/, '$1-$2-$3'), time.replace(/^(..)(..)(..)$/, '$1:$2:$3')];
  return Date.parse(`${day}T${clock}Z`) + Number(searchParams.get('X-Amz-Expires')) * 1000;
}
