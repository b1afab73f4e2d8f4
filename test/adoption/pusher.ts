import {
  digestOf,
  mountBlob,
  pushBlob,
  pushManifest,
  request,
  type Endpoint,
  type UploadStyle,
} from '../harness/push.ts';
import { image, type Document, type ImageDocument, type ImageOptions } from './documents.ts';
import type { Holdings } from './holdings.ts';

/** Changes what a registry holds, and keeps book of it. Every answer has to be the one that means success. */
export class Pusher {
  readonly #registry: Endpoint;
  readonly #holdings: Holdings;

  constructor(registry: Endpoint, holdings: Holdings) {
    this.#registry = registry;
    this.#holdings = holdings;
  }

  async blob(name: string, bytes: Uint8Array, options: { style?: UploadStyle; digest?: string } = {}): Promise<string> {
    const digest = await pushBlob(this.#registry, name, bytes, options);
    this.#holdings.addBlob(name, digest, bytes);
    return digest;
  }

  async mount(name: string, bytes: Uint8Array, from: string): Promise<void> {
    const digest = digestOf(bytes);
    await mountBlob(this.#registry, name, digest, from);
    this.#holdings.addBlob(name, digest, bytes);
  }

  /** Under each tag, or by its digest where there is none. */
  async manifest(name: string, document: Document, ...tags: readonly string[]): Promise<string> {
    const digest = digestOf(document.bytes);
    for (const reference of tags.length > 0 ? tags : [digest]) {
      await pushManifest(this.#registry, name, reference, document);
    }
    this.#holdings.addManifest(name, digest, document, tags);
    return digest;
  }

  /** With its blobs. */
  async image(name: string, document: ImageDocument, ...tags: readonly string[]): Promise<string> {
    for (const bytes of document.blobs) await this.blob(name, bytes);
    return this.manifest(name, document, ...tags);
  }

  async seeded(name: string, options: ImageOptions, ...tags: readonly string[]): Promise<ImageDocument> {
    const document = image(`${name} ${tags.join(' ')}`, options);
    await this.image(name, document, ...tags);
    return document;
  }

  async deleteManifest(name: string, document: Document): Promise<void> {
    const digest = digestOf(document.bytes);
    await request(this.#registry, 'DELETE', `/v2/${name}/manifests/${digest}`, { status: 202 });
    this.#holdings.removeManifest(name, digest);
  }

  async deleteTag(name: string, tag: string): Promise<void> {
    await request(this.#registry, 'DELETE', `/v2/${name}/manifests/${tag}`, { status: 202 });
    this.#holdings.removeTag(name, tag);
  }

  async deleteBlob(name: string, bytes: Uint8Array): Promise<void> {
    const digest = digestOf(bytes);
    await request(this.#registry, 'DELETE', `/v2/${name}/blobs/${digest}`, { status: 202 });
    this.#holdings.removeBlob(name, digest);
  }

  async deleteRepository(name: string): Promise<void> {
    await request(this.#registry, 'DELETE', `/api/v1/repositories/${name}`, { status: 204 });
    this.#holdings.removeRepository(name);
  }
}
