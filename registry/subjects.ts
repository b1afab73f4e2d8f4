import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { Subject } from './intents.ts';
import type { Tree } from './tree.ts';

// What one comparison locks and writes together.
const BATCH = 100;

/**
 * Everything that the tree or the index has of a repository, in batches: manifests first, so that it is known what needs
 * a blob when that is found, and tags last, because they need the manifests.
 */
export async function* subjectsOf(
  { blobs, manifests, repositories, tags }: Pick<Metadata, 'blobs' | 'manifests' | 'repositories' | 'tags'>,
  tree: Tree,
  name: RepositoryName,
): AsyncGenerator<readonly Subject[]> {
  const id = (await repositories.find(name))?.id;
  const ofManifests = new Set(await tree.manifests(name));
  if (id !== undefined) {
    for await (const digest of pages<Digest>((after) => manifests.page(id, after, BATCH))) ofManifests.add(digest);
  }
  yield* batches([...ofManifests].map((manifest) => ({ manifest })));
  const ofLayers = new Set(await tree.layers(name));
  for (let after = 0; id !== undefined;) {
    const page = await blobs.page(id, after, BATCH);
    for (const { digest } of page) ofLayers.add(digest as Digest);
    if (page.length < BATCH) break;
    after = page.at(-1)?.id ?? after;
  }
  yield* batches([...ofLayers].map((layer) => ({ layer })));
  const ofTags = new Set(await tree.tags(name));
  for await (const tag of pages<Tag>((after) => tags.page(name, after, BATCH))) ofTags.add(tag);
  yield* batches([...ofTags].map((tag) => ({ tag })));
}

/** @typeParam T what the names were parsed as before they were stored */
async function* pages<T extends string>(page: (after: string) => Promise<readonly string[]>): AsyncGenerator<T> {
  for (let after = ''; ;) {
    const names = await page(after);
    if (names.length === 0) return;
    yield* names as readonly T[];
    after = names.at(-1) ?? after;
  }
}

function* batches<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let i = 0; i < items.length; i += BATCH) yield items.slice(i, i + BATCH);
}
