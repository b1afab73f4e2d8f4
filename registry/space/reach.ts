import type { ContentId, SpaceRecords } from '../../storage/metadata/space.ts';
import { pages, PAGE, type Pause } from './pages.ts';
import type { PlacedNode, Selection } from './selection.ts';

/** What a selection reaches. Ids rather than digests: it may be millions. */
export class Reach {
  /** With the bytes of each. */
  readonly contents = new Map<ContentId, number>();
  /**
   * What manifests name that their repositories do not have: a sparse image, a foreign layer. It is nobody's, but the
   * store keeps it as long as a manifest names it.
   */
  readonly nobodys = new Map<ContentId, number>();
  /** The manifests outside of repositories that are selected as a whole. */
  readonly manifests = new Set<number>();
  readonly #records: SpaceRecords;
  readonly #pause: Pause;

  constructor(records: SpaceRecords, pause: Pause) {
    this.#records = records;
    this.#pause = pause;
  }

  async follow(selection: Selection): Promise<void> {
    for (const repositoryId of selection.whole) await this.#addRepository(repositoryId);
    const toDo = selection.seeds.filter(({ repositoryId }) => !selection.whole.has(repositoryId));
    for (let node = toDo.pop(); node !== undefined; node = toDo.pop()) {
      if (this.manifests.has(node.id)) continue;
      this.manifests.add(node.id);
      this.contents.set(node.content, node.size);
      for await (const next of heldBy(this.#records, node, (named) => this.#addNamed(named))) toDo.push(next);
      await this.#pause();
    }
  }

  async #addRepository(repositoryId: number): Promise<void> {
    const records = this.#records;
    const blobs = pages(
      0,
      (after) => records.blobs(repositoryId, after, PAGE),
      ({ content }) => content,
    );
    for await (const { content, size } of blobs) {
      this.contents.set(content, size);
      await this.#pause();
    }
    const manifests = pages(
      '',
      (after) => records.manifests(repositoryId, after, PAGE),
      ({ digest }) => digest as string,
    );
    for await (const { id, content, size } of manifests) {
      this.contents.set(content, size);
      for await (const named of namedBy(records, id)) this.#addNamed(named);
      await this.#pause();
    }
  }

  #addNamed({ content, size, isLinked, manifestId }: Named): void {
    if (isLinked || manifestId !== undefined) this.contents.set(content, size);
    else this.nobodys.set(content, size);
  }
}

type Named = Awaited<ReturnType<SpaceRecords['named']>>['contents'][number];

async function* namedBy(records: SpaceRecords, manifestId: number): AsyncGenerator<Named> {
  let after: { kind: string; digest: string } | undefined = { kind: '', digest: '' };
  while (after !== undefined) {
    const { contents, next } = await records.named(manifestId, after, PAGE);
    yield* contents;
    after = next;
  }
}

/**
 * The manifests that live with one: what it lists as an index, and what is attached to it.
 *
 * @param tell hears what else it names, and these as well
 */
export async function* heldBy(
  records: SpaceRecords,
  { id, digest, repositoryId }: Pick<PlacedNode, 'id' | 'digest' | 'repositoryId'>,
  tell: (named: Named) => void = () => {},
): AsyncGenerator<PlacedNode> {
  for await (const named of namedBy(records, id)) {
    tell(named);
    if (named.manifestId !== undefined) yield { ...named, id: named.manifestId, repositoryId };
  }
  const referrers = pages(
    '',
    (after) => records.referrers(repositoryId, digest, after, PAGE),
    (referrer) => referrer.digest as string,
  );
  for await (const referrer of referrers) yield { ...referrer, repositoryId };
}
