import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { S3Options } from '../../../storage/blobs/s3/options.ts';
import { answer, operationOf, refused, type Answered, type Asked, type Operation } from './answers.ts';
import { crc32Of, FakeObjects, Refusal } from './objects.ts';

/**
 * What goes wrong with a request:
 *
 * - `reset`: the connection ends, and nothing was done
 * - `lost`: it was done, and the connection ends before the answer
 * - `truncated`: half of the body of the answer comes, then the connection ends
 * - `slow-down`: 503, as AWS throttles
 * - `directory`: 409, as versitygw answers while it takes an emptied directory away
 * - `internal`: 500
 * - `denied`: 403
 * - `unknown`: 501, as servers answer what they do not have
 * - `wrong-etag`: of a part, another ETag is answered than the server keeps
 * - `unconditional`: of a copy, the condition is not looked at
 * - `unchecked`: the CRC-32 of a part is not looked at, or not told, or an upload that is to be checked is made as any other
 */
export type S3Fault =
  | 'reset'
  | 'lost'
  | 'truncated'
  | 'slow-down'
  | 'directory'
  | 'internal'
  | 'denied'
  | 'unknown'
  | 'wrong-etag'
  | 'unconditional'
  | 'unchecked';

/** Decides for each request, in their order. */
export type PlanFaults = (operation: Operation, key: string) => S3Fault | undefined;

export interface Received {
  readonly operation: Operation;
  readonly key: string;
  /** When it ran out, in milliseconds since 1970 by the server's clock; undefined where it was not presigned. */
  readonly expiresAt: number | undefined;
  readonly headers: IncomingMessage['headers'];
}

/**
 * An S3 server for faults: it keeps one bucket in memory, asks for no signature but looks at the end of presigned requests,
 * and does what it is told wrong. The
 * contracts of the driver hold for it as for the real servers in `test/scale`.
 */
export interface FakeS3 extends AsyncDisposable {
  readonly options: S3Options;
  readonly objects: FakeObjects;
  /** Every request so far. */
  readonly requests: readonly Received[];
  /** How far its clock is before ours, in milliseconds. */
  clockAheadMs: number;
  plan(faults: PlanFaults | undefined): void;
}

const BUCKET = 'registry';

export async function startFakeS3(): Promise<FakeS3> {
  const objects = new FakeObjects();
  const requests: Received[] = [];
  const clock = { aheadMs: 0 };
  let faults: PlanFaults | undefined;
  const server = createServer((request, response) => {
    void serve(request, response).catch(() => request.destroy());
  });
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const now = Date.now() + clock.aheadMs;
    response.setHeader('Date', new Date(now).toUTCString());
    const asked = await readRequest(request);
    if (asked instanceof Refusal) return send(response, refused(asked));
    const expiresAt = endOf(asked.query);
    requests.push({ operation: asked.operation, key: asked.key, expiresAt, headers: asked.headers });
    if (expiresAt !== undefined && expiresAt < now) {
      return send(response, refused(new Refusal(403, 'AccessDenied', 'Request has expired')));
    }
    const fault = faults?.(asked.operation, asked.key);
    respond(objects, asked, response, fault);
  };
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    objects,
    requests,
    get clockAheadMs() {
      return clock.aheadMs;
    },
    set clockAheadMs(ms) {
      clock.aheadMs = ms;
    },
    plan: (planned) => {
      faults = planned;
    },
    options: {
      bucket: BUCKET,
      prefix: '',
      region: 'us-east-1',
      endpoint: `http://127.0.0.1:${port}`,
      isPathStyle: true,
      credentials: { accessKeyId: 'fake', secretAccessKey: 'fake-secret' },
      partMemoryBytes: 64 * 1024 * 1024,
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

function endOf(query: URLSearchParams): number | undefined {
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(query.get('X-Amz-Date') ?? '') ?? [];
  if (year === undefined) return undefined;
  const date = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  return date + Number(query.get('X-Amz-Expires')) * 1000;
}

async function readRequest(request: IncomingMessage): Promise<Asked | Refusal> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://fake');
  const [bucket = '', ...rest] = decodeURIComponent(pathname).slice(1).split('/');
  if (bucket !== BUCKET) return new Refusal(404, 'NoSuchBucket');
  const key = rest.join('/');
  const { headers, method = '' } = request;
  try {
    const operation = operationOf(method, key, searchParams, headers['x-amz-copy-source'] !== undefined);
    return { operation, bucket, key, query: searchParams, headers, body: Buffer.concat(chunks) };
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

function respond(objects: FakeObjects, asked: Asked, response: ServerResponse, fault: S3Fault | undefined): void {
  if (fault === 'reset') return void response.destroy();
  if (fault === 'slow-down') return send(response, refused(new Refusal(503, 'SlowDown')));
  if (fault === 'directory') return send(response, refused(new Refusal(409, 'ExistingObjectIsDirectory')));
  if (fault === 'internal') return send(response, refused(new Refusal(500, 'InternalError')));
  if (fault === 'denied') return send(response, refused(new Refusal(403, 'AccessDenied')));
  if (fault === 'unknown') return send(response, refused(new Refusal(501, 'NotImplemented')));
  if (fault === 'unconditional') delete asked.headers['x-amz-copy-source-if-match'];
  if (fault === 'unchecked') {
    delete asked.headers['x-amz-checksum-algorithm'];
    asked.headers['x-fake-unchecked'] = 'yes';
    if (asked.operation === 'UploadPart') asked.headers['x-amz-checksum-crc32'] = crc32Of(asked.body);
  }
  const answered = answerOf(objects, asked);
  if (fault === 'lost') return void response.destroy();
  if (fault === 'truncated') return sendHalf(response, answered);
  if (fault === 'wrong-etag') return send(response, { ...answered, headers: { ETag: '"0123456789abcdef"' } });
  send(response, answered);
}

function answerOf(objects: FakeObjects, asked: Asked): Answered {
  try {
    return answer(objects, asked);
  } catch (error) {
    if (error instanceof Refusal) return refused(error);
    throw error;
  }
}

function send(response: ServerResponse, { status, headers, body }: Answered): void {
  const length = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) };
  response.writeHead(status, { ...length, ...headers });
  response.end(body);
}

function sendHalf(response: ServerResponse, { status, headers, body = '' }: Answered): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, 'Content-Length': bytes.length });
  response.write(bytes.subarray(0, bytes.length / 2), () => response.destroy());
}
