import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import type { Answer, Client } from './client.ts';

export const OCI_MANIFEST = MEDIA_TYPES.imageManifest;
export const OCI_INDEX = MEDIA_TYPES.imageIndex;
export const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
export const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar';

export type Algorithm = 'sha256' | 'sha512';

export function digestOf(content: string | Uint8Array, algorithm: Algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(content).digest('hex')}`;
}

/** A digest that nothing has. */
export const NOWHERE = digestOf('nothing that any test pushes');

/** Bytes that look like nothing, the same for the same seed. */
export function bytesOf(size: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
}

export function descriptor(mediaType: string, content: string | Uint8Array, algorithm: Algorithm = 'sha256') {
  return { mediaType, digest: digestOf(content, algorithm), size: Buffer.byteLength(content) };
}

export function imageManifest(
  config: string | Uint8Array,
  layers: readonly (string | Uint8Array)[],
  more: object = {},
) {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(CONFIG_TYPE, config),
    layers: layers.map((layer) => descriptor(LAYER_TYPE, layer)),
    ...more,
  });
}

export function imageIndex(children: readonly string[], more: object = {}) {
  const manifests = children.map((child) => descriptor(OCI_MANIFEST, child));
  return JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests, ...more });
}

/** Pushes a blob in one request; its digest. */
export async function pushBlob(
  client: Client,
  name: string,
  content: string | Uint8Array,
  algorithm: Algorithm = 'sha256',
): Promise<string> {
  const digest = digestOf(content, algorithm);
  const answer = await client.post(`/v2/${name}/blobs/uploads/?digest=${digest}`, content);
  assert.equal(answer.status, 201, answer.text);
  return digest;
}

export async function putManifest(
  client: Client,
  name: string,
  reference: string,
  manifest: string | Uint8Array,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const type = (JSON.parse(Buffer.from(manifest).toString()) as { mediaType: string }).mediaType;
  return client.put(`/v2/${name}/manifests/${reference}`, manifest, { 'Content-Type': type, ...headers });
}

/** Pushes an image of one layer made from `seed`, under `reference`; what it consists of. */
export async function pushImage(client: Client, name: string, reference: string, seed = reference, more: object = {}) {
  const [config, layer] = [`{"config of":"${seed}"}`, `layer of ${seed}`];
  const blobs = [await pushBlob(client, name, config), await pushBlob(client, name, layer)];
  const manifest = imageManifest(config, [layer], more);
  const answer = await putManifest(client, name, reference, manifest);
  assert.equal(answer.status, 201, answer.text);
  return { manifest, digest: digestOf(manifest), blobs };
}

/** Opens an upload session; its `Location`. */
export async function openUpload(client: Client, name: string, query = ''): Promise<string> {
  const answer = await client.post(`/v2/${name}/blobs/uploads/${query}`);
  assert.equal(answer.status, 202, answer.text);
  return answer.header('Location');
}

export function withQuery(location: string, query: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}${query}`;
}

/** All tags of a repository, in one page. */
export async function tagsOf(client: Client, name: string): Promise<readonly string[]> {
  const answer = await client.get(`/v2/${name}/tags/list`);
  assert.equal(answer.status, 200, answer.text);
  const body = answer.json() as { name: string; tags: string[] };
  assert.equal(body.name, name);
  return body.tags;
}

/** All repositories, in one page. */
export async function repositoriesOf(client: Client): Promise<readonly string[]> {
  const answer = await client.get('/v2/_catalog');
  assert.equal(answer.status, 200, answer.text);
  return (answer.json() as { repositories: string[] }).repositories;
}
