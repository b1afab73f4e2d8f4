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
  const manifestRows = id === undefined ? [] : pages<Digest>((after) => manifests.page(id, after, BATCH));
  yield* batches(await union(await tree.manifests(name), manifestRows), (manifest) => ({ manifest }));
  const layerRows = id === undefined ? [] : linked(blobs, id);
  yield* batches(await union(await tree.layers(name), layerRows), (layer) => ({ layer }));
  const tagRows = pages<Tag>((after) => tags.page(name, after, BATCH));
  yield* batches(await union(await tree.tags(name), tagRows), (tag) => ({ tag }));
}

async function union<T>(inTree: readonly T[], rows: Iterable<T> | AsyncIterable<T>): Promise<ReadonlySet<T>> {
  const all = new Set(inTree);
  for await (const item of rows) all.add(item);
  return all;
}

async function* linked(blobs: Metadata['blobs'], repositoryId: number): AsyncGenerator<Digest> {
  for (let after = 0; ;) {
    const page = await blobs.page(repositoryId, after, BATCH);
    for (const { digest } of page) yield digest as Digest;
    if (page.length < BATCH) return;
    after = page.at(-1)?.id ?? after;
  }
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

/** Made as they are asked for: there may be hundreds of thousands. */
function* batches<T>(items: Iterable<T>, subjectOf: (item: T) => Subject): Generator<readonly Subject[]> {
  let batch: Subject[] = [];
  for (const item of items) {
    batch.push(subjectOf(item));
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
