import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { until } from '../http/until.ts';

/** Which request is held: its method, and its target. */
export type Held = (method: string, target: string) => boolean;

/** Stands between one server and its S3 server, and holds requests of a kind as a network may. */
export class HoldingProxy implements AsyncDisposable {
  readonly #server: http.Server;
  readonly #agent = new http.Agent({ keepAlive: true });
  readonly #origin: string;
  #isHeld: Held = () => false;
  #waiting: (() => Promise<number>)[] = [];

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

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From now on keeps what comes and fits; resolves when the first of it is here, whole. */
  async holdNext(isHeld: Held): Promise<void> {
    this.#isHeld = isHeld;
    const before = this.#waiting.length;
    await until('a request to hold', () => this.#waiting.length > before);
  }

  /** Sends on what was held, late, and holds nothing more. @returns with what status the S3 server answered each */
  async release(): Promise<readonly number[]> {
    this.#isHeld = () => false;
    const waiting = this.#waiting;
    this.#waiting = [];
    return Promise.all(waiting.map((send) => send()));
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url = '' } = request;
    const send = (body: Buffer) => this.#send(request, response, body);
    // Whatever the server does meanwhile: it is on its way.
    response.on('error', () => {});
    request.on('error', () => {});
    const body = await buffer(request).catch(() => undefined);
    if (body === undefined) return;
    if (this.#isHeld(method, decodeURIComponent(url))) this.#waiting.push(() => send(body));
    else await send(body).catch(() => response.destroy());
  }

  /** The signature covers the host that the server knows: the headers go on unchanged. */
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
