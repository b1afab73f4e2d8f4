import { isDigest, type Digest } from '../../oci/digest.ts';
import { isRepositoryName, isTag, type RepositoryName } from '../../oci/names.ts';
import type { BlobRow, HistoryRow, ManifestRow, SnapshotTotals, TagRow } from '../../storage/metadata/snapshot.ts';

/** The form of `snapshots/<id>.jsonl.gz`, and of the directory around it. */
export const BACKUP_FORMAT = 1;

/** An image that was not whole in the store, and is not in the copy; in the list, if the index knew its manifest. */
export interface IncompleteImage {
  readonly repository: RepositoryName;
  readonly manifest: Digest;
  readonly tags: readonly string[];
  /** What it needs and the copy does not have. */
  readonly missing: readonly Digest[];
}

/** How a backup ended: the last line of its list. A list without it is none. */
export interface SnapshotEnd extends SnapshotTotals {
  /** In the order in which they lie in the list, then those that do not. */
  readonly incomplete: readonly IncompleteImage[];
  /** Repositories that the server could not compare with the tree: as its index has them. */
  readonly doubted: readonly RepositoryName[];
}

/**
 * A line of a list, JSON, of an object with one of these names first: the list itself, then for each repository its name
 * and what it has, then the moves of tags, then the end.
 */
export type SnapshotLine =
  | { readonly format: number; readonly snapshot: string; readonly takenAt: number }
  | { readonly repository: RepositoryName }
  | { readonly layer: Digest; readonly size: number }
  | { readonly manifest: Digest; readonly size: number; readonly pushedAt: number; readonly pulledAt?: number }
  | { readonly tag: TagRow['tag']; readonly digest: Digest; readonly updatedAt: number }
  | { readonly moved: HistoryRow }
  | { readonly end: SnapshotEnd };

/** Everything that one repository has. */
export interface RepositoryContent {
  readonly name: RepositoryName;
  readonly layers: readonly BlobRow[];
  readonly manifests: readonly ManifestRow[];
  readonly tags: readonly TagRow[];
}

const isSize = (value: unknown) => Number.isSafeInteger(value) && Number(value) >= 0;
const isText = (value: unknown, test: (text: string) => boolean) => typeof value === 'string' && test(value);
const areTexts = (value: unknown, test: (text: string) => boolean) =>
  Array.isArray(value) && value.every((each) => isText(each, test));

/**
 * Reads a line. Keys and paths are made of what stands in it, so everything is checked.
 *
 * @returns undefined for what is no line of a list
 */
export function parseSnapshotLine(text: string): SnapshotLine | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  return isSound(value as Readonly<Record<string, unknown>>) ? (value as SnapshotLine) : undefined;
}

type Fields = Readonly<Record<string, unknown>>;

function isSound(line: Fields): boolean {
  const isDigestAt = (name: string) => isText(line[name], isDigest);
  if ('format' in line)
    return isSize(line['format']) && typeof line['snapshot'] === 'string' && isSize(line['takenAt']);
  if ('repository' in line) return isText(line['repository'], isRepositoryName);
  if ('layer' in line) return isDigestAt('layer') && isSize(line['size']);
  if ('manifest' in line) {
    const isPulled = !('pulledAt' in line) || isSize(line['pulledAt']);
    return isDigestAt('manifest') && isSize(line['size']) && isSize(line['pushedAt']) && isPulled;
  }
  if ('tag' in line) return isText(line['tag'], isTag) && isDigestAt('digest') && isSize(line['updatedAt']);
  if ('moved' in line) return isObject(line['moved']) && isSoundMove(line['moved']);
  return isObject(line['end']) && isSoundEnd(line['end']);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null;
}

function isSoundMove(move: Fields): boolean {
  const isDigestOrNone = (name: string) => move[name] === undefined || isText(move[name], isDigest);
  return (
    isText(move['repository'], isRepositoryName) &&
    isText(move['tag'], isTag) &&
    isDigestOrNone('digest') &&
    isDigestOrNone('previous') &&
    isSize(move['changedAt']) &&
    (move['cause'] === undefined || typeof move['cause'] === 'string')
  );
}

function isSoundEnd(end: Fields): boolean {
  const { incomplete, doubted } = end;
  return (
    ['repositories', 'tags', 'manifests', 'blobs', 'bytes'].every((name) => isSize(end[name])) &&
    areTexts(doubted, isRepositoryName) &&
    Array.isArray(incomplete) &&
    incomplete.every(
      (image: unknown) =>
        isObject(image) &&
        isText(image['repository'], isRepositoryName) &&
        isText(image['manifest'], isDigest) &&
        areTexts(image['tags'], isTag) &&
        areTexts(image['missing'], isDigest),
    )
  );
}
