import http from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Sending {
  readonly headers?: Readonly<Record<string, string>>;
  /** One buffer goes out with its length; several go out as a stream of unknown length, as docker sends layers. */
  readonly body?: Buffer | readonly Buffer[];
}

/** No complete answer came: nobody knows whether the request was carried out. */
export class Disconnected extends Error {
  override readonly name = 'Disconnected';
}

/** HTTP over kept-alive connections to one server, as many at once as there are requests. */
export class Client implements Disposable {
  readonly #url: string;
  readonly #patienceMs: number;
  readonly #agent = new http.Agent({ keepAlive: true });
  /** Requests that nobody answered for as long as the client waits. */
  timedOut = 0;

  /**
   * @param url without a slash at the end
   * @param patienceMs after which a request is given up
   */
  constructor(url: string, patienceMs = 30_000) {
    this.#url = url;
    this.#patienceMs = patienceMs;
  }

  /** @throws Disconnected when the connection ends before the answer does */
  send(method: string, target: string, sending: Sending = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { headers = {}, body } = sending;
      const signal = AbortSignal.timeout(this.#patienceMs);
      const request = http.request(new URL(target, this.#url), {
        method,
        agent: this.#agent,
        headers: { ...lengthHeader(method, body), ...headers },
        signal,
      });
      const fail = (error: Error) => {
        if (signal.aborted) this.timedOut += 1;
        reject(new Disconnected(`${method} ${target}: ${error.message}`, { cause: error }));
      };
      request.on('error', fail);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('error', fail);
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const { statusCode = 0, headers: answered } = response;
          resolve({ status: statusCode, headers: answered, body: Buffer.concat(chunks) });
        });
      });
      for (const chunk of Buffer.isBuffer(body) ? [body] : (body ?? [])) request.write(chunk);
      request.end();
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

function lengthHeader(method: string, body: Sending['body']): Record<string, string> {
  if (Buffer.isBuffer(body)) return { 'Content-Length': String(body.length) };
  if (body === undefined && method !== 'GET' && method !== 'HEAD') return { 'Content-Length': '0' };
  return {};
}
