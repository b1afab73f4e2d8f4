import assert from 'node:assert/strict';
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises';
import { digestOf } from '../harness/push.ts';
import type { ImageDocument } from './documents.ts';
import type { Store } from './stores.ts';

/** A way in which a tree can be damaged, and what is still to be had of the image in it, tagged `v1`. */
export interface Damage {
  readonly break: (tree: DamagedImage) => Promise<void>;
  readonly byTag: number;
  readonly byDigest: number;
  readonly layer: number;
  /** Whether somebody has to look after it before it can be pushed anew. */
  readonly isInTheWay?: boolean;
  /** What the log says of it. */
  readonly log?: RegExp;
}

export const DAMAGES: Readonly<Record<string, Damage>> = {
  'a tag whose link is cut off': {
    break: (tree) => truncate(tree.tagLink(), 20),
    byTag: 404,
    byDigest: 200,
    layer: 200,
    log: /holds no digest/,
  },
  'a tag whose link is empty': { break: (tree) => truncate(tree.tagLink(), 0), byTag: 404, byDigest: 200, layer: 200 },
  'a tag whose link is huge': {
    break: (tree) => writeFile(tree.tagLink(), Buffer.alloc(100_000, 'a')),
    byTag: 404,
    byDigest: 200,
    layer: 200,
    log: /too large/,
  },
  'a tag whose link leads to nothing': {
    break: (tree) => writeFile(tree.tagLink(), `sha256:${'0'.repeat(64)}`),
    byTag: 404,
    byDigest: 200,
    layer: 200,
  },
  'a manifest whose link is cut off': {
    break: (tree) => truncate(tree.revisionLink(), 30),
    byTag: 404,
    byDigest: 404,
    layer: 200,
    log: /holds no digest/,
  },
  'a manifest whose bytes are gone': {
    break: (tree) => tree.loseManifest(),
    byTag: 404,
    byDigest: 404,
    layer: 200,
  },
  'a manifest with other bytes': {
    break: (tree) => writeFile(tree.blob(tree.image.bytes), '{"schemaVersion":2}'),
    byTag: 404,
    byDigest: 404,
    layer: 200,
    log: /corrupt/,
  },
  'a manifest that is cut off': {
    break: (tree) => truncate(tree.blob(tree.image.bytes), 100),
    byTag: 404,
    byDigest: 404,
    layer: 200,
    log: /corrupt/,
  },
  'a layer whose bytes are gone': { break: (tree) => tree.loseLayer(), byTag: 200, byDigest: 200, layer: 404 },
  'a layer whose link is empty': {
    break: (tree) => truncate(tree.layerLink(), 0),
    byTag: 200,
    byDigest: 200,
    layer: 404,
    log: /holds no digest/,
  },
  'a directory where the bytes of a layer should be': {
    break: async (tree) => {
      await tree.loseLayer();
      await mkdir(tree.blob(tree.layer));
    },
    byTag: 200,
    byDigest: 200,
    layer: 404,
    isInTheWay: true,
  },
};

/** The files of an image in Distribution's tree. */
export class DamagedImage {
  readonly name: string;
  readonly image: ImageDocument;
  readonly #store: Store;

  constructor(store: Store, name: string, pushed: ImageDocument) {
    this.#store = store;
    this.name = name;
    this.image = pushed;
  }

  get layer(): Uint8Array {
    return this.image.blobs[1] ?? assert.fail('an image without layers');
  }

  tagLink(): string {
    return this.#store.pathOf('repositories', this.name, '_manifests/tags/v1/current/link');
  }

  revisionLink(): string {
    return this.#link('_manifests/revisions', this.image.bytes);
  }

  layerLink(): string {
    return this.#link('_layers', this.layer);
  }

  blob(bytes: Uint8Array): string {
    const hex = hexOf(bytes);
    return this.#store.pathOf('blobs/sha256', hex.slice(0, 2), hex, 'data');
  }

  async loseManifest(): Promise<void> {
    await rm(this.blob(this.image.bytes));
  }

  async loseLayer(): Promise<void> {
    await rm(this.blob(this.layer));
  }

  #link(part: string, bytes: Uint8Array): string {
    return this.#store.pathOf('repositories', this.name, part, 'sha256', hexOf(bytes), 'link');
  }
}

function hexOf(bytes: Uint8Array): string {
  return digestOf(bytes).slice('sha256:'.length);
}
