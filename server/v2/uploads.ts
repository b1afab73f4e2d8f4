import { parseDigest, parseDigestAlgorithm, type Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import { isRepositoryName, type RepositoryName, type UploadId } from '../../oci/names.ts';
import type { Blob } from '../../registry/blobs.ts';
import { rangeOf, type ChunkClaim } from '../../registry/upload-claims.ts';
import type { UploadStatus } from '../../registry/uploads.ts';
import type { Exchange, Reply } from '../http/exchange.ts';
import { parseContentRange } from '../http/ranges.ts';
import type { Services } from './services.ts';

interface NameParams {
  readonly name: RepositoryName;
}

interface UploadParams extends NameParams {
  readonly upload: UploadId;
}

/** end-4a, end-4c. */
export async function openUpload(services: Services, exchange: Exchange<NameParams>): Promise<Reply> {
  const algorithm = parseDigestAlgorithm(exchange.query.get('digest-algorithm') ?? 'sha256');
  const status = await services.registry.uploads.open(exchange.params.name, algorithm);
  return { status: 202, headers: uploadHeaders(services, status) };
}

/** end-4b. */
export async function postBlob(services: Services, exchange: Exchange<NameParams>): Promise<Reply> {
  const { name } = exchange.params;
  const digest = digestOfQuery(exchange.query);
  // Without a body it is the announcement of one, as some clients send it: open a session for it.
  if (exchange.body.length === 0 && !isEmptyContent(digest)) {
    const algorithm = digest.startsWith('sha512:') ? 'sha512' : 'sha256';
    const status = await services.registry.uploads.open(name, algorithm);
    return { status: 202, headers: uploadHeaders(services, status) };
  }
  const blob = await services.registry.uploads.pushWhole(name, digest, claimOf(exchange), exchange.body.batches());
  return created(services, name, blob);
}

/** end-11: a mount that is not possible becomes an upload, never an error. */
export async function mountBlob(services: Services, exchange: Exchange<NameParams>): Promise<Reply> {
  const { name } = exchange.params;
  const digest = parseDigest(exchange.query.get('mount') ?? '');
  const from = exchange.query.get('from');
  // Clients name sources that are no repositories of this registry, or none at all.
  const source = from === null || from === '' ? undefined : from;
  const isPossible = source === undefined || isRepositoryName(source);
  const blob = isPossible ? await services.registry.blobs.mount(name, digest, source, exchange.rights) : undefined;
  if (blob !== undefined) return created(services, name, blob);
  const algorithm = digest.startsWith('sha512:') ? 'sha512' : 'sha256';
  return { status: 202, headers: uploadHeaders(services, await services.registry.uploads.open(name, algorithm)) };
}

/** end-5. */
export async function patchUpload(services: Services, exchange: Exchange<UploadParams>): Promise<Reply> {
  const { name, upload } = exchange.params;
  const appended = services.registry.uploads.append(name, upload, claimOf(exchange), exchange.body.batches());
  const status = await locating(services, exchange.params, appended);
  return { status: 202, headers: uploadHeaders(services, status) };
}

/** end-6. */
export async function putUpload(services: Services, exchange: Exchange<UploadParams>): Promise<Reply> {
  const { name, upload } = exchange.params;
  const digest = digestOfQuery(exchange.query);
  const finished = services.registry.uploads.finish(name, upload, digest, claimOf(exchange), exchange.body.batches());
  const blob = await locating(services, exchange.params, finished);
  return created(services, name, blob);
}

/** end-13. */
export async function getUpload(services: Services, exchange: Exchange<UploadParams>): Promise<Reply> {
  const { name, upload } = exchange.params;
  return { status: 204, headers: uploadHeaders(services, await services.registry.uploads.status(name, upload)) };
}

/** end-14. */
export async function deleteUpload(services: Services, exchange: Exchange<UploadParams>): Promise<Reply> {
  const { name, upload } = exchange.params;
  await services.registry.uploads.cancel(name, upload);
  return { status: 204 };
}

/** A client that sent the wrong chunk is told where to send the right one. */
async function locating<T>(services: Services, { name, upload }: UploadParams, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof RegistryError) || error.status !== 416) throw error;
    const { code, status, detail, headers } = error;
    const location = locationOf(services, name, upload);
    throw new RegistryError(code, { status, detail, headers: { ...headers, Location: location }, cause: error });
  }
}

function locationOf(services: Services, name: RepositoryName, upload: UploadId): string {
  return services.location(`/v2/${name}/blobs/uploads/${upload}`);
}

function uploadHeaders(services: Services, status: UploadStatus) {
  return {
    Location: locationOf(services, status.name, status.id),
    Range: rangeOf(status.size),
    'Docker-Upload-UUID': status.id,
  };
}

function created(services: Services, name: RepositoryName, blob: Blob): Reply {
  return {
    status: 201,
    headers: {
      Location: services.location(`/v2/${name}/blobs/${blob.digest}`),
      'Docker-Content-Digest': blob.digest,
    },
  };
}

function digestOfQuery(query: URLSearchParams): Digest {
  const text = query.get('digest');
  if (text !== null) return parseDigest(text);
  const reason = 'the closing PUT names the digest of the whole blob: ?digest=sha256:...';
  throw new RegistryError('DIGEST_INVALID', { detail: { reason } });
}

function claimOf(exchange: Exchange<unknown>): ChunkClaim {
  const header = exchange.headers['content-range'];
  if (header === undefined) return { range: undefined, length: exchange.body.length };
  const range = parseContentRange(header);
  if (range !== undefined) return { range, length: exchange.body.length };
  const reason = 'Content-Range has the form <first byte>-<last byte>, both included, for example 0-1023';
  throw new RegistryError('BLOB_UPLOAD_INVALID', { detail: { 'Content-Range': header.slice(0, 100), reason } });
}

const EMPTY_SHA256 = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const EMPTY_SHA512 =
  'sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e';

function isEmptyContent(digest: Digest): boolean {
  return digest === EMPTY_SHA256 || digest === EMPTY_SHA512;
}
