import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MEDIA_TYPES } from '../../oci/media-types.ts';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly os: string; readonly architecture: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Any document of the manifests endpoint, as far as these tests look into it. */
export interface Manifest {
  readonly mediaType?: string;
  readonly artifactType?: string;
  readonly config?: Descriptor;
  readonly layers?: readonly Descriptor[];
  readonly manifests?: readonly Descriptor[];
  readonly subject?: Descriptor;
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function blobPath(directory: string, digest: string): string {
  return path.join(directory, 'blobs', ...digest.split(':'));
}

/** Makes an empty OCI image layout in `directory`. */
export async function createLayout(directory: string): Promise<void> {
  await mkdir(path.join(directory, 'blobs/sha256'), { recursive: true });
  await writeFile(path.join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
}

export async function writeBlob(directory: string, mediaType: string, bytes: Uint8Array): Promise<Descriptor> {
  const digest = sha256(bytes);
  await writeFile(blobPath(directory, digest), bytes);
  return { mediaType, digest, size: bytes.length };
}

export function writeJson(directory: string, mediaType: string, value: unknown): Promise<Descriptor> {
  return writeBlob(directory, mediaType, Buffer.from(JSON.stringify(value)));
}

/** Makes `root` the only image of the layout, under `tag`. */
export async function writeIndex(directory: string, root: Descriptor, tag: string): Promise<void> {
  const annotations = { 'org.opencontainers.image.ref.name': tag };
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.imageIndex, manifests: [{ ...root, annotations }] };
  await writeFile(path.join(directory, 'index.json'), JSON.stringify(index));
}

/**
 * Reads every document and blob that `digest` reaches in a layout, and holds each against its digest and size.
 *
 * @returns the digests that were checked
 * @throws Error that names the first blob that is missing or wrong
 */
export async function verifyLayout(directory: string, digest: string, seen = new Set<string>()): Promise<Set<string>> {
  seen.add(digest);
  const manifest: Manifest = JSON.parse((await readVerified(directory, digest)).toString());
  for (const child of manifest.manifests ?? []) await verifyLayout(directory, child.digest, seen);
  for (const blob of [manifest.config ?? [], manifest.layers ?? []].flat()) {
    const { length } = await readVerified(directory, blob.digest);
    if (length !== blob.size) throw new Error(`${blob.digest} has ${length} bytes in the layout, not ${blob.size}`);
    seen.add(blob.digest);
  }
  return seen;
}

async function readVerified(directory: string, digest: string): Promise<Buffer> {
  const bytes = await readFile(blobPath(directory, digest));
  if (sha256(bytes) !== digest) throw new Error(`${digest} is corrupt in the layout: ${sha256(bytes)}`);
  return bytes;
}
