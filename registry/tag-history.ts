import type { Digest } from '../oci/digest.ts';
import type { RepositoryName, Tag } from '../oci/names.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { HistoricDigest, HistoryPage, TagChange } from '../storage/metadata/tag-history.ts';

/**
 * Whether a tag can point to it again:
 *
 * - `present`: as long as the repository has it
 * - `kept`: until a time, unless it is pushed again
 * - `gone`: only after it was pushed again
 */
export interface PastDigest {
  readonly digest: Digest;
  readonly state: 'present' | 'kept' | 'gone';
  /** Of what is `kept`; milliseconds since 1970. */
  readonly until: number | undefined;
}

export interface PastChange extends Omit<TagChange, 'from' | 'to'> {
  readonly from: PastDigest | undefined;
  readonly to: PastDigest | undefined;
}

export interface TagHistory {
  /** The newest first. */
  readonly changes: readonly PastChange[];
  /** Where older ones begin: the `before` of the next page. Undefined when there are none. */
  readonly next: number | undefined;
}

interface Keeping {
  readonly undoMs: number;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * Reads the history of a tag from the index.
 *
 * @param keeping how long what was deleted is kept, and what time it is: it may be over and not forgotten yet
 * @param tag undefined for all tags of the repository
 */
export async function historyOf(
  { tagHistory }: Pick<Metadata, 'tagHistory'>,
  keeping: Keeping,
  name: RepositoryName,
  tag: Tag | undefined,
  { before, limit }: HistoryPage,
): Promise<TagHistory> {
  const page = { before, limit: limit + 1 };
  const found = await (tag === undefined ? tagHistory.ofRepository(name, page) : tagHistory.ofTag(name, tag, page));
  const changes = found.slice(0, limit).map((change) => ({
    ...change,
    from: pastOf(change.from, keeping),
    to: pastOf(change.to, keeping),
  }));
  return { changes, next: found.length > limit ? changes.at(-1)?.id : undefined };
}

function pastOf(historic: HistoricDigest | undefined, { undoMs, now }: Keeping): PastDigest | undefined {
  if (historic === undefined) return undefined;
  const { digest, isPresent, deletedAt } = historic;
  if (isPresent) return { digest, state: 'present', until: undefined };
  if (deletedAt === undefined || deletedAt + undoMs <= now) return { digest, state: 'gone', until: undefined };
  return { digest, state: 'kept', until: deletedAt + undoMs };
}
