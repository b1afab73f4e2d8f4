import type { Reference, RepositoryName } from '../oci/names.ts';
import type { ManifestLookup, ManifestRecord } from '../storage/metadata/manifests.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import type { Asked } from './last-known.ts';

export interface StoredManifest extends ManifestRecord {
  /** The index could not be asked: a tag may point elsewhere by now, and either may be deleted. */
  readonly isRemembered?: boolean;
}

/** What is known of a manifest. */
export type KnownManifest = Pick<ManifestLookup, 'damaged'> & { readonly manifest: StoredManifest | undefined };

interface Answer {
  readonly asked: Asked;
  /** Undefined when the repository has no row. */
  readonly found: ManifestLookup | undefined;
}

/** Asks the index for manifests, and first the tree where the index alone may not answer. */
export class ManifestLookups {
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  async find(name: RepositoryName, reference: Reference): Promise<KnownManifest | undefined> {
    return this.#settle(name, reference, await this.#ask(name, reference));
  }

  /** The same for a pull: as it was known last, where the index cannot be asked. */
  async findOrRecall(name: RepositoryName, reference: Reference): Promise<KnownManifest | undefined> {
    let answer: Answer;
    try {
      answer = await this.#ask(name, reference);
    } catch (error) {
      const manifest = this.#context.lastKnown.manifestInsteadOf(error, name, reference);
      return { manifest: { ...manifest, isRemembered: true }, damaged: undefined };
    }
    return this.#settle(name, reference, answer);
  }

  async #settle(name: RepositoryName, reference: Reference, first: Answer): Promise<KnownManifest | undefined> {
    const { found } = first;
    const isKnown = await this.#adoption.isKnown(found);
    let answer = first;
    if (!isKnown) {
      await (reference.tag === undefined
        ? this.#adoption.manifest(name, reference.digest)
        : this.#adoption.tag(name, reference.tag));
      answer = await this.#ask(name, reference);
    }
    this.#context.lastKnown.heardOfManifest(answer.asked, name, reference, answer.found?.manifest);
    return answer.found;
  }

  async #ask(name: RepositoryName, reference: Reference): Promise<Answer> {
    const { metadata, lastKnown } = this.#context;
    const asked = lastKnown.asking();
    const found = await (reference.tag === undefined
      ? metadata.manifests.lookupByDigest(name, reference.digest)
      : metadata.manifests.lookupByTag(name, reference.tag));
    return { asked, found };
  }
}
