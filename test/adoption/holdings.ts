import type { Document } from './documents.ts';

interface Repository {
  readonly blobs: Map<string, Uint8Array>;
  readonly manifests: Map<string, Document>;
  readonly tags: Map<string, string>;
  /** What was there once: manifests, blobs and tags that must not be served any more. */
  readonly gone: { readonly blobs: Set<string>; readonly references: Set<string> };
}

/** The members of a manifest that say what it needs and what it belongs to. */
interface Links {
  readonly config?: { readonly digest: string };
  readonly layers?: readonly { readonly digest: string }[];
  readonly manifests?: readonly { readonly digest: string }[];
  readonly subject?: { readonly digest: string };
}

/** What a store must serve, to the byte, and what it must not; kept by whoever changes the store. */
export class Holdings {
  readonly #repositories = new Map<string, Repository>();

  names(): readonly string[] {
    return [...this.#repositories.keys()].toSorted();
  }

  /** Made when it is new. */
  repository(name: string): Repository {
    const known = this.#repositories.get(name);
    if (known !== undefined) return known;
    const made: Repository = {
      blobs: new Map(),
      manifests: new Map(),
      tags: new Map(),
      gone: { blobs: new Set(), references: new Set() },
    };
    this.#repositories.set(name, made);
    return made;
  }

  addBlob(name: string, digest: string, bytes: Uint8Array): void {
    const { blobs, gone } = this.repository(name);
    blobs.set(digest, bytes);
    gone.blobs.delete(digest);
  }

  addManifest(name: string, digest: string, document: Document, tags: readonly string[]): void {
    const repository = this.repository(name);
    repository.manifests.set(digest, document);
    for (const tag of tags) repository.tags.set(tag, digest);
    for (const reference of [digest, ...tags]) repository.gone.references.delete(reference);
  }

  removeBlob(name: string, digest: string): void {
    const { blobs, gone } = this.repository(name);
    blobs.delete(digest);
    gone.blobs.add(digest);
  }

  removeTag(name: string, tag: string): void {
    const { tags, gone } = this.repository(name);
    tags.delete(tag);
    gone.references.add(tag);
  }

  /** With the tags that point to it. */
  removeManifest(name: string, digest: string): void {
    const { manifests, tags, gone } = this.repository(name);
    manifests.delete(digest);
    gone.references.add(digest);
    for (const [tag, target] of tags) if (target === digest) this.removeTag(name, tag);
  }

  removeRepository(name: string): void {
    this.#repositories.delete(name);
  }

  /** The digests of all manifests of the repository that name `subject` as theirs, sorted. */
  referrers(name: string, subject: string): readonly string[] {
    const { manifests } = this.repository(name);
    const all = [...manifests].filter(([, document]) => linksOf(document).subject?.digest === subject);
    return all.map(([digest]) => digest).toSorted();
  }

  /** The digests of all manifests, and of all blobs that one of them needs. */
  inUse(): ReadonlySet<string> {
    const repositories = [...this.#repositories.values()];
    return new Set(
      repositories.flatMap(({ manifests }) => [...manifests].flatMap(([digest, each]) => [digest, ...needs(each)])),
    );
  }

  /** Forgets the blobs that no manifest of their repository needs: a garbage collector may take them. */
  forgetUnused(): void {
    for (const { blobs, manifests } of this.#repositories.values()) {
      const needed = new Set([...manifests.values()].flatMap(needs));
      for (const digest of blobs.keys()) if (!needed.has(digest)) blobs.delete(digest);
    }
  }
}

/** The subjects that a document may be asked about: what it refers to and its own. */
export function subjectOf(document: Document): string | undefined {
  return linksOf(document).subject?.digest;
}

function needs(document: Document): readonly string[] {
  const { config, layers = [], manifests = [] } = linksOf(document);
  return [...(config === undefined ? [] : [config]), ...layers, ...manifests].map(({ digest }) => digest);
}

function linksOf({ bytes }: Document): Links {
  return JSON.parse(Buffer.from(bytes).toString()) as Links;
}
