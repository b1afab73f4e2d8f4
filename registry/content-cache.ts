import type { Digest } from '../oci/digest.ts';

/** Larger content is not kept. */
export const CACHED_CONTENT_MAX_BYTES = 64 * 1024;

// What a map entry and its buffer cost beside the bytes, roughly.
const ENTRY_OVERHEAD_BYTES = 256;

/** Counts what was asked for. */
export interface CacheObserver {
  hit(): void;
  miss(): void;
}

/**
 * Small manifests and blobs, least recently used out first, bounded in bytes.
 *
 * Says nothing about who may see them or whether they still exist: content never changes, the index says the rest.
 */
export class ContentCache {
  readonly #maxBytes: number;
  readonly #entries = new Map<Digest, Uint8Array>();
  readonly #observer: CacheObserver | undefined;
  #bytes = 0;

  constructor(maxBytes: number, observer?: CacheObserver) {
    this.#maxBytes = maxBytes;
    this.#observer = observer;
  }

  get(digest: Digest): Uint8Array | undefined {
    const content = this.#entries.get(digest);
    if (content === undefined) {
      this.#observer?.miss();
      return undefined;
    }
    this.#observer?.hit();
    // A map iterates in the order of insertion: the oldest comes first.
    this.#entries.delete(digest);
    this.#entries.set(digest, content);
    return content;
  }

  set(digest: Digest, content: Uint8Array): void {
    if (content.length > CACHED_CONTENT_MAX_BYTES || this.#entries.has(digest)) return;
    this.#entries.set(digest, content);
    this.#bytes += content.length + ENTRY_OVERHEAD_BYTES;
    while (this.#bytes > this.#maxBytes) this.#dropOldest();
  }

  delete(digest: Digest): void {
    const content = this.#entries.get(digest);
    if (content === undefined) return;
    this.#entries.delete(digest);
    this.#bytes -= content.length + ENTRY_OVERHEAD_BYTES;
  }

  #dropOldest(): void {
    const [oldest] = this.#entries.keys();
    if (oldest !== undefined) this.delete(oldest);
  }
}
