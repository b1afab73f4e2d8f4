import { randomUUID } from 'node:crypto';
import type { Blob, KnownBlob } from '../../registry/blobs.ts';
import type { ByteRange } from '../../storage/blobs/driver.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import { allowsRange, etagOf, isNotModified, notModified } from '../http/conditions.ts';
import type { Exchange, HeaderValue, Reply, ReplyPiece } from '../http/exchange.ts';
import { parseRange } from '../http/ranges.ts';
import type { Services } from './services.ts';

interface BlobParams {
  readonly name: RepositoryName;
  readonly digest: Digest;
}

/** end-2. */
export async function getBlob(services: Services, exchange: Exchange<BlobParams>): Promise<Reply> {
  const { name, digest } = exchange.params;
  const { blobs } = services.registry;
  const blob = await (exchange.method === 'HEAD' ? blobs.promise(name, digest) : blobs.get(name, digest));
  const headers = headersOf(blob);
  if (isNotModified(exchange.headers, digest)) return notModified(headers);
  if (exchange.method === 'HEAD') return { status: 200, headers: { ...headers, 'Content-Length': blob.size } };
  const ranges = allowsRange(exchange.headers, digest) ? parseRange(exchange.headers.range, blob.size) : 'whole';
  if (ranges === 'unsatisfiable') throw isUnsatisfiable(blob);
  const elsewhere = await locate(services, exchange, blob, ranges);
  if (elsewhere !== undefined) return seeThere(elsewhere, digest);
  if (ranges === 'whole') return whole(services, name, blob, headers);
  const [only] = ranges;
  return ranges.length === 1 && only !== undefined
    ? part(services, name, blob, headers, only)
    : multipart(services, name, blob, headers, ranges);
}

/** end-10. */
export async function deleteBlob(services: Services, exchange: Exchange<BlobParams>): Promise<Reply> {
  const { name, digest } = exchange.params;
  await services.registry.blobs.delete(name, digest);
  return { status: 202, headers: { 'Docker-Content-Digest': digest } };
}

function headersOf(blob: Blob): Record<string, HeaderValue> {
  return {
    'Content-Type': 'application/octet-stream',
    'Docker-Content-Digest': blob.digest,
    ETag: etagOf(blob.digest),
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'max-age=31536000, immutable',
  };
}

/**
 * Where this client is to fetch the blob instead; undefined: from here. S3 answers no request for several ranges, and
 * knows other entity tags than those that `If-Range` has from us.
 */
async function locate(
  { redirects, registry }: Services,
  { address, headers }: Exchange<BlobParams>,
  blob: KnownBlob,
  ranges: readonly ByteRange[] | 'whole',
): Promise<string | undefined> {
  if (redirects === undefined || !redirects.isFor(address)) return undefined;
  if (ranges.length > 1 && ranges !== 'whole') return undefined;
  if (headers['if-range'] !== undefined) return undefined;
  return registry.blobs.locate(blob, redirects.expireAfterMs);
}

/** The method and the headers of the request stay (RFC 9110 section 15.4.8), `Range` among them. */
function seeThere(location: string, digest: Digest): Reply {
  // Whoever has the address has the blob, and not for long: no cache between us keeps it.
  return {
    status: 307,
    headers: { Location: location, 'Cache-Control': 'no-store', 'Docker-Content-Digest': digest },
  };
}

type Headers = Readonly<Record<string, HeaderValue>>;

async function whole(services: Services, name: RepositoryName, blob: KnownBlob, headers: Headers): Promise<Reply> {
  const lengthHeaders = { ...headers, 'Content-Length': blob.size };
  const { blobs } = services.registry;
  const small = await blobs.small(name, blob);
  if (small !== undefined) return { status: 200, headers: lengthHeaders, body: small };
  // Opened before the first header goes out: what is not there is still an error that can be told.
  const reader = await blobs.openWhole(name, blob);
  return { status: 200, headers: lengthHeaders, body: { pieces: [reader] } };
}

async function part(
  services: Services,
  name: RepositoryName,
  blob: KnownBlob,
  headers: Headers,
  range: ByteRange,
): Promise<Reply> {
  const reader = await services.registry.blobs.openPart(name, blob, range);
  return {
    status: 206,
    headers: { ...headers, 'Content-Length': range.end - range.start + 1, 'Content-Range': contentRange(range, blob) },
    body: { pieces: [reader] },
  };
}

/** Several ranges in one answer (RFC 9110 section 14.6): podman 5 asks so for the changed parts of zstd:chunked layers. */
function multipart(
  services: Services,
  name: RepositoryName,
  blob: KnownBlob,
  headers: Headers,
  ranges: readonly ByteRange[],
): Reply {
  const boundary = randomUUID();
  const pieces: ReplyPiece[] = [];
  let length = 0;
  const add = (text: string) => {
    pieces.push(Buffer.from(text, 'latin1'));
    length += text.length;
  };
  for (const range of ranges) {
    add(
      `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: ${contentRange(range, blob)}\r\n\r\n`,
    );
    pieces.push(() => services.registry.blobs.openPart(name, blob, range));
    length += range.end - range.start + 1;
  }
  add(`\r\n--${boundary}--\r\n`);
  const type = `multipart/byteranges; boundary=${boundary}`;
  return { status: 206, headers: { ...headers, 'Content-Type': type, 'Content-Length': length }, body: { pieces } };
}

function contentRange(range: ByteRange, blob: Blob): string {
  return `bytes ${range.start}-${range.end}/${blob.size}`;
}

function isUnsatisfiable(blob: Blob): RegistryError {
  const reason = `the blob has ${blob.size} bytes: ask for ranges within them that do not add up to more`;
  return new RegistryError('SIZE_INVALID', {
    status: 416,
    detail: { size: blob.size, reason },
    headers: { 'Content-Range': `bytes */${blob.size}` },
  });
}
