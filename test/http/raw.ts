import { connect, type Socket } from 'node:net';
import { Answer } from './client.ts';

/** A TCP connection on which a test writes what no HTTP client would. */
export class RawConnection implements AsyncDisposable {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #isClosed = false;
  #wake: () => void = () => {};

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    this.socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    // A reset counts as the end.
    for (const event of ['end', 'error', 'close']) {
      this.socket.on(event, () => {
        this.#isClosed = true;
        this.#wake();
      });
    }
  }

  write(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** What came so far, as soon as `isEnough` says so or the server closed. */
  async receive(isEnough: (received: Buffer) => boolean): Promise<Buffer> {
    while (!this.#isClosed && !isEnough(this.#received)) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return this.#received;
  }

  /** Everything until the server closes the connection. */
  untilClosed(): Promise<Buffer> {
    return this.receive(() => false);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
  }
}

/** Sends `bytes` on a connection of its own and takes the first answer apart. */
export async function rawAnswer(port: number, bytes: string | Uint8Array): Promise<Answer> {
  await using connection = new RawConnection(port);
  connection.write(bytes);
  const received = await connection.receive((bytesSoFar) => parseAnswers(bytesSoFar).length > 0);
  const [first] = parseAnswers(received);
  if (first === undefined) throw new Error(`no answer, but: ${JSON.stringify(received.toString('latin1'))}`);
  return first;
}

/** The whole answers at the beginning of `bytes`; each has to say how long it is. `1xx` are passed over. */
export function parseAnswers(bytes: Buffer): Answer[] {
  const answers: Answer[] = [];
  for (let rest = bytes; ;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end === -1) return answers;
    const [statusLine = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) throw new Error(`not an answer: ${JSON.stringify(statusLine)}`);
    const headers = Object.fromEntries(lines.map(splitHeader));
    const length = status < 200 || status === 204 || status === 304 ? 0 : Number(headers['content-length'] ?? 0);
    const body = rest.subarray(end + 4, end + 4 + length);
    if (body.length < length) return answers;
    if (status >= 200) answers.push(new Answer(status, headers, body));
    rest = rest.subarray(end + 4 + length);
  }
}

function splitHeader(line: string): [string, string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
}
