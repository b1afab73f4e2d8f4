import type { Metadata } from '../../storage/metadata/metadata.ts';
import type { Selected } from '../../registry/space/selection.ts';
import type { Space } from '../../registry/space/measure.ts';

/*
 * What `registry/space` measures, computed from all rows at once and by sets of digests.
 */

interface ModelManifest {
  readonly size: number;
  readonly names: ReadonlySet<string>;
  readonly children: ReadonlySet<string>;
  readonly subject: string | undefined;
}

interface ModelRepository {
  readonly blobs: ReadonlySet<string>;
  readonly manifests: ReadonlyMap<string, ModelManifest>;
  readonly tags: ReadonlyMap<string, string>;
}

export interface ModelStore {
  readonly repositories: ReadonlyMap<string, ModelRepository>;
  /** Of everything in the store. */
  readonly sizes: ReadonlyMap<string, number>;
}

export async function readStore(metadata: Metadata): Promise<ModelStore> {
  return metadata.write('relaxed', async (tx) => {
    const repositories = new Map<string, ModelRepository>();
    for (const { id = null, name } of await tx.all('SELECT id, name FROM repository')) {
      const texts = async (sql: string) => (await tx.all(sql, id)).map((row) => String(row['digest']));
      const blobs = await texts(
        'SELECT b.digest FROM repository_blob rb JOIN blob b ON b.id = rb.blob_id WHERE rb.repository_id = ?',
      );
      const manifests = new Map<string, ModelManifest>();
      for (const row of await tx.all('SELECT id, digest, size, subject FROM manifest WHERE repository_id = ?', id)) {
        const edges = await tx.all(
          'SELECT kind, digest FROM manifest_reference WHERE manifest_id = ?',
          row['id'] ?? null,
        );
        const of = (...kinds: string[]) =>
          new Set(edges.filter((edge) => kinds.includes(String(edge['kind']))).map((edge) => String(edge['digest'])));
        manifests.set(String(row['digest']), {
          size: Number(row['size']),
          names: of('config', 'layer', 'manifest'),
          children: of('manifest'),
          subject: row['subject'] === null ? undefined : String(row['subject']),
        });
      }
      const tags = await tx.all(
        'SELECT t.name, m.digest FROM tag t JOIN manifest m ON m.id = t.manifest_id WHERE t.repository_id = ?',
        id,
      );
      repositories.set(String(name), {
        blobs: new Set(blobs),
        manifests,
        tags: new Map(tags.map((tag) => [String(tag['name']), String(tag['digest'])])),
      });
    }
    const sizes = await tx.all('SELECT digest, size FROM blob');
    return { repositories, sizes: new Map(sizes.map((row) => [String(row['digest']), Number(row['size'])])) };
  });
}

/** The manifests of a repository that live with those in `seeds`, and these; never past one in `without`. */
function closure(
  { manifests }: ModelRepository,
  seeds: Iterable<string>,
  without: ReadonlySet<string> = new Set(),
): Set<string> {
  const reached = new Set([...seeds].filter((digest) => manifests.has(digest) && !without.has(digest)));
  for (const digest of reached) {
    const children = [...(manifests.get(digest)?.children ?? [])];
    const referrers = [...manifests].filter(([, { subject }]) => subject === digest).map(([referrer]) => referrer);
    for (const next of [...children, ...referrers]) if (manifests.has(next) && !without.has(next)) reached.add(next);
  }
  return reached;
}

/** What is had by these manifests of a repository. */
function contentOf(repository: ModelRepository, digests: ReadonlySet<string>): Set<string> {
  const content = new Set(digests);
  for (const digest of digests)
    for (const name of repository.manifests.get(digest)?.names ?? []) if (repository.blobs.has(name)) content.add(name);
  return content;
}

/** A selection, one repository at a time. */
interface Chosen {
  readonly isWhole: boolean;
  readonly named: ReadonlySet<string>;
  readonly tags: ReadonlySet<string>;
  readonly reached: ReadonlySet<string>;
}

export function chosenIn(store: ModelStore, name: string, selection: readonly Selected[]): Chosen {
  const repository = store.repositories.get(name);
  if (repository === undefined) throw new Error(`no repository ${name}`);
  const here = selection.filter((each) => each.repository === name);
  const isWhole = here.some(({ tag, digest }) => tag === undefined && digest === undefined);
  const named = new Set(here.flatMap(({ digest }) => (digest === undefined ? [] : [String(digest)])));
  const tags = new Set<string>(here.flatMap(({ tag }) => (tag === undefined ? [] : [tag])));
  for (const [tag, digest] of repository.tags) if (isWhole || named.has(digest)) tags.add(tag);
  const seeds = [...named, ...[...tags].map((tag) => repository.tags.get(tag) ?? '')];
  return {
    isWhole,
    named,
    tags,
    reached: isWhole ? new Set(repository.manifests.keys()) : closure(repository, seeds),
  };
}

export function measureModel(store: ModelStore, selection: readonly Selected[]): Space {
  const reached = new Set<string>();
  const mayGo = new Set<string>();
  const others = new Set<string>();
  const needed = new Set<string>();
  for (const [name, repository] of store.repositories) {
    const chosen = chosenIn(store, name, selection);
    for (const digest of contentOf(repository, chosen.reached)) reached.add(digest);
    if (chosen.isWhole) for (const digest of repository.blobs) reached.add(digest);
    for (const digest of chosen.reached)
      for (const content of repository.manifests.get(digest)?.names ?? []) mayGo.add(content);
    const unselected = [...repository.tags].filter(([tag]) => !chosen.tags.has(tag)).map(([, digest]) => digest);
    for (const digest of contentOf(repository, closure(repository, unselected))) others.add(digest);
    const outside = [...repository.manifests.keys()].filter((digest) => !chosen.reached.has(digest));
    const staying = closure(repository, [...outside, ...unselected], chosen.named);
    for (const digest of staying) {
      needed.add(digest);
      for (const content of repository.manifests.get(digest)?.names ?? []) needed.add(content);
    }
  }
  const sum = (digests: Iterable<string>) =>
    [...digests].reduce((bytes, digest) => bytes + (store.sizes.get(digest) ?? 0), 0);
  const total = sum(reached);
  const own = sum([...reached].filter((digest) => !others.has(digest)));
  const freed = sum([...new Set([...reached, ...mayGo])].filter((digest) => !needed.has(digest)));
  return { total, own, shared: total - own, freed };
}

/** What nothing needs before anything is deleted, and the selection does not reach. In bytes. */
export function garbageOutside(store: ModelStore, selection: readonly Selected[]): number {
  const kept = new Set<string>();
  for (const [name, repository] of store.repositories) {
    if (chosenIn(store, name, selection).isWhole) for (const digest of repository.blobs) kept.add(digest);
    for (const [digest, { names }] of repository.manifests) for (const each of [digest, ...names]) kept.add(each);
  }
  return [...store.sizes].reduce((bytes, [digest, size]) => bytes + (kept.has(digest) ? 0 : size), 0);
}
