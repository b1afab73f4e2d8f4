import { StorageError, type Key, type ListEntry } from '../../storage/blobs/driver.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { Scope } from './scope.ts';

/** @throws everything that is no fault of the store */
export function unreadable(error: unknown): StorageError {
  if (error instanceof StorageError) return error;
  throw error;
}

/** What lies in a directory of the tree. One that cannot be read is told, and keeps nobody from the rest. */
export async function* entriesOf(
  { context, report }: Pick<Scope, 'context' | 'report'>,
  directory: Key,
  repository?: RepositoryName,
): AsyncGenerator<ListEntry> {
  const entries: ListEntry[] = [];
  try {
    for await (const entry of context.driver.list(directory)) entries.push(entry);
  } catch (error) {
    const { message: detail } = unreadable(error);
    report.add('unreadable', { ...(repository !== undefined && { repository }), path: directory, detail });
  }
  yield* entries;
}
