import { CONFIG_TYPE, descriptor, digestOf, imageIndex, imageManifest, OCI_MANIFEST } from '../http/content.ts';

/** What a walk pushes. Few of each, so that steps meet. */
export const REPOSITORIES = ['a', 'a/b'] as const;
export const BLOBS = ['{"a":1}', '{"b":2}', 'a layer'] as const;
export const TAGS = ['latest', 'v1'] as const;

const IMAGE = imageManifest(BLOBS[0], [BLOBS[2]]);

interface Document {
  readonly text: string;
  readonly digest: string;
  /** Indices into `BLOBS`. */
  readonly needs: readonly number[];
  readonly subject: string | undefined;
}

function documentOf(text: string, needs: readonly number[], subject?: string): Document {
  return { text, digest: digestOf(text), needs, subject };
}

export const MANIFESTS: readonly Document[] = [
  documentOf(IMAGE, [0, 2]),
  documentOf(imageManifest(BLOBS[1], [BLOBS[2]]), [1, 2]),
  documentOf(imageManifest(BLOBS[1], [], { subject: descriptor(OCI_MANIFEST, IMAGE) }), [1], digestOf(IMAGE)),
  documentOf(imageIndex([IMAGE], { subject: descriptor(CONFIG_TYPE, IMAGE) }), [], digestOf(IMAGE)),
];

interface RepositoryState {
  readonly blobs: Set<number>;
  readonly manifests: Set<number>;
  /** Tag to manifest. */
  readonly tags: Map<string, number>;
}

/** What a registry has to remember, in the plainest way; each method does one request and tells its status. */
export class Model {
  readonly #repositories = new Map<string, RepositoryState>();

  get names(): readonly string[] {
    return [...this.#repositories.keys()].sort((a, b) => (a < b ? -1 : 1));
  }

  find(name: string): RepositoryState | undefined {
    return this.#repositories.get(name);
  }

  pushBlob(name: string, blob: number): number {
    this.#ensure(name).blobs.add(blob);
    return 201;
  }

  mount(name: string, from: string, blob: number): number {
    if (this.find(from)?.blobs.has(blob) !== true) return 202;
    return this.pushBlob(name, blob);
  }

  deleteBlob(name: string, blob: number): number {
    const state = this.find(name);
    if (state?.blobs.has(blob) !== true) return 404;
    for (const manifest of state.manifests) if (MANIFESTS[manifest]?.needs.includes(blob) === true) return 409;
    state.blobs.delete(blob);
    return 202;
  }

  /** @param tag undefined for a push by digest */
  pushManifest(name: string, manifest: number, tag: string | undefined): number {
    const { needs = [] } = MANIFESTS[manifest] ?? {};
    if (!needs.every((blob) => this.find(name)?.blobs.has(blob) === true)) return 404;
    const state = this.#ensure(name);
    state.manifests.add(manifest);
    if (tag !== undefined) state.tags.set(tag, manifest);
    return 201;
  }

  deleteTag(name: string, tag: string): number {
    return this.find(name)?.tags.delete(tag) === true ? 202 : 404;
  }

  deleteManifest(name: string, manifest: number): number {
    const state = this.find(name);
    if (state?.manifests.delete(manifest) !== true) return 404;
    for (const [tag, target] of state.tags) if (target === manifest) state.tags.delete(tag);
    return 202;
  }

  deleteRepository(name: string): number {
    return this.#repositories.delete(name) ? 204 : 404;
  }

  #ensure(name: string): RepositoryState {
    const state = this.find(name) ?? { blobs: new Set(), manifests: new Set(), tags: new Map() };
    this.#repositories.set(name, state);
    return state;
  }
}
