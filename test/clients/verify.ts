import assert from 'node:assert/strict';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import type { Image } from './images.ts';
import { sha256, type Descriptor, type Manifest } from './layout.ts';
import type { Registry } from './registry.ts';

/** What a reference leads to, as the registry serves it. */
export interface Pushed {
  readonly digest: string;
  readonly manifest: Manifest;
  /** How many different blobs were read and hashed, those of an index's children included. */
  readonly blobs: number;
}

/**
 * Reads everything that a reference reaches, over HTTP, and holds every byte against its digest and size; the layers are
 * unpacked and held against the config's `diff_ids`.
 *
 * @throws AssertionError at the first thing that is missing or wrong
 */
export async function verifyStored(registry: Registry, repository: string, reference: string): Promise<Pushed> {
  return new Verification(registry, repository).manifest(reference);
}

/**
 * As `verifyStored`, and the layers hold what the image holds, however the client packed them.
 *
 * A client that passes manifests on unchanged is held to the digest as well.
 */
export async function verifyPushed(
  registry: Registry,
  repository: string,
  image: Image,
  expect: { readonly sameDigest: boolean; readonly reference?: string },
): Promise<Pushed> {
  const verification = new Verification(registry, repository);
  const pushed = await verification.manifest(expect.reference ?? 'v1');
  assert.deepEqual(verification.diffIds, image.diffIds);
  if (expect.sameDigest) assert.equal(pushed.digest, image.digest);
  return pushed;
}

/** The tags of a repository, as the API lists them. */
export async function tagsOf(registry: Registry, repository: string): Promise<readonly string[]> {
  const response = await fetch(`${registry.url}/v2/${repository}/tags/list`);
  assert.equal(response.status, 200);
  const list: { tags: string[] | null } = JSON.parse(await response.text());
  return list.tags ?? [];
}

/** The status of `GET /v2/<name>/manifests/<reference>`. */
export async function manifestStatus(registry: Registry, repository: string, reference: string): Promise<number> {
  const response = await fetch(manifestUrl(registry, repository, reference), { headers: ACCEPT });
  await response.body?.cancel();
  return response.status;
}

const ACCEPT = {
  accept: [
    MEDIA_TYPES.imageManifest,
    MEDIA_TYPES.imageIndex,
    MEDIA_TYPES.dockerManifest,
    MEDIA_TYPES.dockerManifestList,
  ].join(', '),
};

function manifestUrl(registry: Registry, repository: string, reference: string): string {
  return `${registry.url}/v2/${repository}/manifests/${reference}`;
}

const unpack = promisify(gunzip);

class Verification {
  readonly diffIds: (readonly string[])[] = [];
  readonly #registry: Registry;
  readonly #repository: string;
  readonly #blobs = new Set<string>();

  constructor(registry: Registry, repository: string) {
    this.#registry = registry;
    this.#repository = repository;
  }

  async manifest(reference: string): Promise<Pushed> {
    const { digest, bytes, mediaType } = await this.#get(reference);
    await this.#head(reference, digest, bytes.length);
    const manifest: Manifest = JSON.parse(bytes.toString());
    if (manifest.mediaType !== undefined) assert.equal(mediaType, manifest.mediaType);
    for (const child of manifest.manifests ?? []) await this.manifest(child.digest);
    if (manifest.config !== undefined) await this.#image(manifest.config, manifest.layers ?? []);
    return { digest, manifest, blobs: this.#blobs.size };
  }

  async #get(reference: string): Promise<{ digest: string; bytes: Buffer; mediaType: string | null }> {
    const response = await fetch(manifestUrl(this.#registry, this.#repository, reference), { headers: ACCEPT });
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(response.status, 200, `${this.#repository} ${reference}: ${bytes.toString()}`);
    const digest = sha256(bytes);
    assert.equal(response.headers.get('docker-content-digest'), digest);
    if (reference.includes(':')) assert.equal(reference, digest);
    return { digest, bytes, mediaType: response.headers.get('content-type') };
  }

  async #head(reference: string, digest: string, size: number): Promise<void> {
    const url = manifestUrl(this.#registry, this.#repository, reference);
    const response = await fetch(url, { method: 'HEAD', headers: ACCEPT });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('content-length'), String(size));
    assert.equal(response.headers.get('docker-content-digest'), digest);
  }

  async #image(config: Descriptor, layers: readonly Descriptor[]): Promise<void> {
    const { bytes } = await this.#blob(config);
    const unpacked: string[] = [];
    for (const layer of layers) unpacked.push((await this.#blob(layer)).unpacked);
    const { rootfs }: { rootfs?: { diff_ids: string[] } } = JSON.parse(bytes.toString());
    if (rootfs === undefined) return; // An artifact's config.
    assert.deepEqual(unpacked, rootfs.diff_ids);
    this.diffIds.push(rootfs.diff_ids);
  }

  async #blob({ digest, size, mediaType }: Descriptor): Promise<{ bytes: Buffer; unpacked: string }> {
    const response = await fetch(`${this.#registry.url}/v2/${this.#repository}/blobs/${digest}`);
    assert.equal(response.status, 200, `${this.#repository} ${digest}`);
    assert.equal(response.headers.get('content-length'), String(size));
    const bytes = Buffer.from(await response.arrayBuffer());
    assert.equal(sha256(bytes), digest);
    assert.equal(bytes.length, size);
    this.#blobs.add(digest);
    return { bytes, unpacked: mediaType.endsWith('gzip') ? sha256(await unpack(bytes)) : digest };
  }
}
