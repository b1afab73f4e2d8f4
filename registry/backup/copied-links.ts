import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { BlobDriver, Key, SmallWrite } from '../../storage/blobs/driver.ts';
import {
  layerKey,
  layerLinkKey,
  layersMarkerKey,
  linkBytes,
  repositoryPartKeys,
  revisionKey,
  revisionLinkKey,
  tagIndexLinkKey,
  tagKey,
  tagLinkKey,
} from '../../storage/layout.ts';
import type { RegistryLog } from '../context.ts';
import { Tree } from '../tree.ts';
import type { RepositoryContent } from './snapshot-lines.ts';

/** Lets a tree have exactly the repositories of a list, over blobs that are there already. */
export class CopiedLinks {
  readonly #driver: BlobDriver;
  readonly #tree: Tree;
  readonly #seen = new Set<RepositoryName>();
  written = 0;
  removed = 0;

  constructor(driver: BlobDriver, log: RegistryLog) {
    this.#driver = driver;
    this.#tree = new Tree({ driver, log });
  }

  /** A tag is seen when everything that it needs is there, and gone before anything of that is. */
  async put(content: RepositoryContent): Promise<void> {
    this.#seen.add(content.name);
    await this.#write(content);
    await this.#remove(content);
  }

  /** Removes the repositories that were not put. */
  async removeOthers(): Promise<void> {
    const others: RepositoryName[] = [];
    for await (const name of this.#tree.repositories()) if (!this.#seen.has(name)) others.push(name);
    for (const name of others) await this.#driver.delete(repositoryPartKeys(name));
    this.removed += others.length;
  }

  async #write({ name, layers, manifests, tags }: RepositoryContent): Promise<void> {
    const writes: SmallWrite[] = [];
    for (const { digest } of layers) await this.#link(writes, layerLinkKey(name, digest), digest);
    if (layers.length === 0 && manifests.length > 0) await this.#mark(writes, layersMarkerKey(name));
    for (const { digest } of manifests) await this.#link(writes, revisionLinkKey(name, digest), digest);
    const last: SmallWrite[] = [];
    for (const { tag, digest } of tags) {
      if ((await this.#tree.tag(name, tag)) === digest) continue;
      last.push({ key: tagIndexLinkKey(name, tag, digest), bytes: linkBytes(digest) });
      last.push({ key: tagLinkKey(name, tag), bytes: linkBytes(digest) });
    }
    if (writes.length + last.length > 0) await this.#driver.writeAll(writes, last);
    this.written += writes.length + last.length;
  }

  async #link(writes: SmallWrite[], key: Key, digest: Digest): Promise<void> {
    // Its name says what is in it: one of that length is right.
    if ((await this.#driver.stat(key))?.size !== digest.length) writes.push({ key, bytes: linkBytes(digest) });
  }

  async #mark(writes: SmallWrite[], key: Key): Promise<void> {
    if ((await this.#driver.stat(key)) === undefined) writes.push({ key, bytes: new Uint8Array() });
  }

  async #remove({ name, layers, manifests, tags }: RepositoryContent): Promise<void> {
    const [ofTags, ofManifests, ofLayers] = [
      new Set(tags.map(({ tag }) => tag)),
      new Set(manifests.map(({ digest }) => digest)),
      new Set(layers.map(({ digest }) => digest)),
    ];
    const gone = [
      ...(await this.#tree.tags(name)).filter((tag) => !ofTags.has(tag)).map((tag) => tagKey(name, tag)),
      ...(await this.#tree.manifests(name))
        .filter((each) => !ofManifests.has(each))
        .map((each) => revisionKey(name, each)),
      ...(await this.#tree.layers(name)).filter((each) => !ofLayers.has(each)).map((each) => layerKey(name, each)),
    ];
    if (gone.length > 0) await this.#driver.delete(gone);
    this.removed += gone.length;
  }
}
