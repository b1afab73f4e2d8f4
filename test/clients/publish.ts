import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { TAG, type Image } from './images.ts';
import type { Descriptor, Manifest } from './layout.ts';
import type { Registry } from './registry.ts';

/**
 * Pushes an image without any client, as the spec has it, for tests of a client that can pull it but not push it.
 *
 * @throws AssertionError at the first answer that is not 201 (202 to the POST that opens an upload)
 */
export async function publish(registry: Registry, repository: string, image: Image): Promise<void> {
  const base = `${registry.url}/v2/${repository}`;
  const index: Manifest = JSON.parse(await readFile(path.join(image.directory, 'index.json'), 'utf8'));
  for (const root of index.manifests ?? []) await publishManifest(base, image.directory, root, TAG);
}

async function publishManifest(base: string, directory: string, root: Descriptor, reference: string): Promise<void> {
  const bytes = await readBlob(directory, root);
  const manifest: Manifest = JSON.parse(bytes.toString());
  for (const child of manifest.manifests ?? []) await publishManifest(base, directory, child, child.digest);
  for (const blob of [manifest.config ?? [], manifest.layers ?? []].flat()) await publishBlob(base, directory, blob);
  const headers = { 'content-type': root.mediaType };
  const answer = await fetch(`${base}/manifests/${reference}`, { method: 'PUT', headers, body: bytes });
  assert.equal(answer.status, 201, await answer.text());
}

async function publishBlob(base: string, directory: string, blob: Descriptor): Promise<void> {
  const opened = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
  assert.equal(opened.status, 202, await opened.text());
  const location = new URL(opened.headers.get('location') ?? '', base);
  location.searchParams.set('digest', blob.digest);
  const headers = { 'content-type': 'application/octet-stream' };
  const answer = await fetch(location, { method: 'PUT', headers, body: await readBlob(directory, blob) });
  assert.equal(answer.status, 201, await answer.text());
}

// A copy, because fetch wants bytes of an ArrayBuffer of their own.
async function readBlob(directory: string, { digest }: Descriptor): Promise<Uint8Array<ArrayBuffer> & Buffer> {
  return Buffer.from(await readFile(path.join(directory, 'blobs', ...digest.split(':'))));
}
