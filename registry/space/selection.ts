import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { ManifestNode, SpaceRecords } from '../../storage/metadata/space.ts';
import { createGlob } from '../glob.ts';
import { manifestUnknown, repositoryUnknown } from '../unknown.ts';
import { pages, PAGE, type Pause } from './pages.ts';

/** A repository, or a tag or a manifest of it. */
export interface Selected {
  readonly repository: RepositoryName;
  readonly tag?: Tag | undefined;
  readonly digest?: Digest | undefined;
}

/** A manifest, and where it is. */
export interface PlacedNode extends ManifestNode {
  readonly repositoryId: number;
}

/** What is to be measured, as the index has it. */
export class Selection {
  /** Repositories that are selected as a whole. */
  readonly whole = new Set<number>();
  /** Manifests that are selected by their digests. */
  readonly named = new Set<number>();
  /** Where to begin, outside of `whole`. */
  readonly seeds: PlacedNode[] = [];
  readonly #tags = new Map<number, Set<Tag>>();

  /** @throws RegistryError `NAME_UNKNOWN`, `MANIFEST_UNKNOWN` */
  async add(records: SpaceRecords, { repository, tag, digest }: Selected): Promise<void> {
    const repositoryId = await records.repositoryId(repository);
    if (tag === undefined && digest === undefined) {
      if (repositoryId === undefined) throw repositoryUnknown(repository);
      this.whole.add(repositoryId);
      return;
    }
    const node = await find(records, repositoryId, tag, digest);
    if (repositoryId === undefined || node === undefined) throw manifestUnknown(repository, tag ?? digest ?? '');
    this.seeds.push({ ...node, repositoryId });
    if (tag === undefined) this.named.add(node.id);
    else this.#tags.set(repositoryId, (this.#tags.get(repositoryId) ?? new Set()).add(tag));
  }

  /** Whether deleting the selection takes this tag: with its repository, with its manifest, or by itself. */
  takesTag(repositoryId: number, manifestId: number, tag: Tag): boolean {
    const isTagged = this.#tags.get(repositoryId)?.has(tag) === true;
    return isTagged || this.named.has(manifestId) || this.whole.has(repositoryId);
  }
}

async function find(
  records: SpaceRecords,
  repositoryId: number | undefined,
  tag: Tag | undefined,
  digest: Digest | undefined,
): Promise<ManifestNode | undefined> {
  if (repositoryId === undefined) return undefined;
  if (tag !== undefined) return records.tagged(repositoryId, tag);
  return digest === undefined ? undefined : records.manifest(repositoryId, digest);
}

/** The repositories that any of the patterns fits, in the order of their names. */
export async function matchingRepositories(
  records: SpaceRecords,
  patterns: readonly string[],
  pause: Pause,
): Promise<readonly RepositoryName[]> {
  const globs = patterns.map(createGlob);
  const names: RepositoryName[] = [];
  const all = pages(
    '',
    (after) => records.repositories(after, PAGE),
    ({ name }) => name as string,
  );
  for await (const { name } of all) {
    if (globs.some((glob) => glob(name, undefined))) names.push(name);
    await pause();
  }
  return names;
}
