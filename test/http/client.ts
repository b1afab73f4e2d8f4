import { Agent, request as startRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

export type RequestBody = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface RequestOptions {
  readonly headers?: OutgoingHttpHeaders;
  /** Bytes go with a Content-Length, anything iterable in chunks. */
  readonly body?: RequestBody;
  readonly agent?: Agent;
}

export class Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;

  constructor(status: number, headers: IncomingHttpHeaders, bytes: Buffer) {
    this.status = status;
    this.headers = headers;
    this.bytes = bytes;
  }

  get text(): string {
    return this.bytes.toString('utf8');
  }

  json(): unknown {
    return JSON.parse(this.text);
  }

  /** @throws Error when the header is not there */
  header(name: string): string {
    const value = this.headers[name.toLowerCase()];
    if (typeof value !== 'string') throw new Error(`${this.status} without ${name}: ${this.text.slice(0, 300)}`);
    return value;
  }
}

/** An HTTP client that sends paths as they are written: nothing is cleaned up, followed or repeated. */
export class Client {
  readonly url: string;
  readonly #agent: Agent;

  /** @param agent one of `node:https` for a server that speaks TLS */
  constructor(url: string, agent = new Agent({ keepAlive: true, maxSockets: 64 })) {
    this.url = url;
    this.#agent = agent;
  }

  get(path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.send('GET', path, { headers });
  }

  head(path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.send('HEAD', path, { headers });
  }

  delete(path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.send('DELETE', path, { headers });
  }

  post(path: string, body?: RequestBody, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.send('POST', path, { headers, ...(body !== undefined && { body }) });
  }

  patch(path: string, body: RequestBody, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.send('PATCH', path, { headers, body });
  }

  put(path: string, body?: RequestBody, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
    return this.send('PUT', path, { headers, ...(body !== undefined && { body }) });
  }

  /** @param path of this server, or a whole URL as `Location` may be */
  async send(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const { protocol, hostname, port } = new URL(this.url);
    const raw = path.startsWith(this.url) ? path.slice(this.url.length) : path;
    const { body } = options;
    const headers = { ...lengthOf(body, method), ...options.headers };
    const agent = options.agent ?? this.#agent;
    const request = startRequest({ protocol, hostname, port, method, path: raw, headers, agent });
    const answered = new Promise<Answer>((resolve, reject) => {
      request.on('error', reject);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve(new Answer(response.statusCode ?? 0, response.headers, Buffer.concat(chunks))),
        );
      });
    });
    if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) request.end(body);
    // A server that refuses may close before it has read everything: the answer counts.
    else pipeline(Readable.from(body), request).catch(() => {});
    return answered;
  }

  close(): void {
    this.#agent.destroy();
  }
}

function lengthOf(body: RequestBody | undefined, method: string): OutgoingHttpHeaders {
  if (typeof body === 'string' || body instanceof Uint8Array) return { 'Content-Length': Buffer.byteLength(body) };
  return body === undefined && method !== 'GET' && method !== 'HEAD' ? { 'Content-Length': 0 } : {};
}
