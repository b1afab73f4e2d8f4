import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';

/** A registry over plain HTTP; every `RunningServer` is one. */
export interface Endpoint {
  /** `http://127.0.0.1:PORT`, no slash at the end. */
  readonly url: string;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly [member: string]: unknown;
}

/** How a blob is sent: the three ways of the spec, and what docker does. */
export type UploadStyle = 'post-put' | 'single-post' | 'chunked' | 'streamed';

const CHUNK_BYTES = 1024;

/** `sha256:<hex>` or `sha512:<hex>` of some bytes. */
export function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** One request that must have the status it should have. @throws AssertionError with the body of the answer */
export async function request(
  registry: Endpoint,
  method: string,
  path: string,
  options: { readonly status: number; readonly headers?: Record<string, string>; readonly body?: Uint8Array },
): Promise<Response> {
  const { status, headers = {}, body } = options;
  const response = await fetch(new URL(path, registry.url), { method, headers, body: body ?? null });
  if (response.status === status) return response;
  return assert.fail(`${method} ${path}: ${response.status} instead of ${status}: ${await response.text()}`);
}

/** Pushes a blob. @returns its digest, of the algorithm that `digest` has where given */
export async function pushBlob(
  registry: Endpoint,
  repository: string,
  bytes: Uint8Array,
  options: { readonly style?: UploadStyle; readonly digest?: string } = {},
): Promise<string> {
  const { style = 'post-put', digest = digestOf(bytes) } = options;
  const uploads = `/v2/${repository}/blobs/uploads/`;
  if (style === 'single-post') {
    await send(registry, 'POST', `${uploads}?digest=${digest}`, 201, bytes);
    return digest;
  }
  let location = locationOf(registry, await send(registry, 'POST', uploads, 202));
  for (const { chunk, headers } of chunksOf(bytes, style)) {
    location = locationOf(registry, await send(registry, 'PATCH', location, 202, chunk, headers));
  }
  const closing = new URL(location);
  closing.searchParams.set('digest', digest);
  await send(registry, 'PUT', closing.href, 201, style === 'post-put' ? bytes : undefined);
  return digest;
}

/** Mounts a blob from another repository of the registry. @throws AssertionError when it is not there to be mounted */
export async function mountBlob(registry: Endpoint, repository: string, digest: string, from: string): Promise<void> {
  await send(registry, 'POST', `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${from}`, 201);
}

/** Pushes a manifest's bytes under a tag or a digest. @returns its sha256 digest */
export async function pushManifest(
  registry: Endpoint,
  repository: string,
  reference: string,
  manifest: { readonly bytes: Uint8Array; readonly mediaType: string },
): Promise<string> {
  const headers = { 'Content-Type': manifest.mediaType };
  const path = `/v2/${repository}/manifests/${reference}`;
  await request(registry, 'PUT', path, { status: 201, headers, body: manifest.bytes });
  return digestOf(manifest.bytes);
}

/** Bytes that look random, the same for the same seed. */
export function seededBytes(seed: string, size: number): Uint8Array {
  const blocks = Array.from({ length: Math.ceil(size / 64) }, (_, index) =>
    createHash('sha512').update(`${seed} ${index}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, size);
}

async function send(
  registry: Endpoint,
  method: string,
  path: string,
  status: number,
  body: Uint8Array = new Uint8Array(),
  headers: Record<string, string> = {},
): Promise<Response> {
  const all = { 'Content-Type': 'application/octet-stream', ...headers };
  return request(registry, method, path, { status, headers: all, body });
}

function locationOf(registry: Endpoint, response: Response): string {
  const location = response.headers.get('location');
  assert.ok(location !== null, `${response.url}: no Location`);
  return new URL(location, registry.url).href;
}

function* chunksOf(
  bytes: Uint8Array,
  style: UploadStyle,
): Generator<{ chunk: Uint8Array; headers: Record<string, string> }> {
  if (style === 'streamed') yield { chunk: bytes, headers: {} };
  if (style !== 'chunked') return;
  for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
    const chunk = bytes.subarray(start, start + CHUNK_BYTES);
    yield { chunk, headers: { 'Content-Range': `${start}-${start + chunk.length - 1}` } };
  }
}
