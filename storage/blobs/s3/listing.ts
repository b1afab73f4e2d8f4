import type { ListEntry, ScannedObject } from '../driver.ts';
import type { Bucket, ListedObject } from './bucket.ts';

/**
 * The names directly below a prefix, sorted by their bytes.
 *
 * A server sorts by whole keys: `app-x/` and `app.y` before `app/`, because `-` and `.` come before `/`. So what begins
 * like that waits until it is known whether there is an `app/`.
 */
export async function* listBelow(bucket: Bucket, prefix: string): AsyncGenerator<ListEntry> {
  let waiting: ListEntry[] = [];
  let limit: string | undefined;
  for await (const key of keysBelow(bucket, prefix)) {
    if (limit !== undefined && key >= limit) {
      yield* sorted(waiting);
      [waiting, limit] = [[], undefined];
    }
    const entry = entryOf(key);
    limit ??= limitOf(entry.name);
    if (limit === undefined) yield entry;
    else waiting.push(entry);
  }
  yield* sorted(waiting);
}

/** All objects below a prefix in the order of the server, which is that of their bytes: a request for each thousand. */
export async function* scanBelow(bucket: Bucket, prefix: string): AsyncGenerator<readonly ScannedObject[]> {
  let from: string | undefined;
  do {
    const { objects, next } = await bucket.list({ prefix: `${prefix}/`, from });
    yield objects;
    from = next;
  } while (from !== undefined);
}

/** All objects below a prefix of which few are expected: an upload of thousands of chunks leaves thousands. */
export async function allBelow(bucket: Bucket, prefix: string): Promise<readonly ListedObject[]> {
  const all: ListedObject[] = [];
  let from: string | undefined;
  do {
    const { objects, next } = await bucket.list({ prefix: `${prefix}/`, from });
    all.push(...objects);
    from = next;
  } while (from !== undefined);
  return all;
}

/** In the order of the server, prefixes with the slash at their end. */
async function* keysBelow(bucket: Bucket, prefix: string): AsyncGenerator<string> {
  let from: string | undefined;
  do {
    const page = await bucket.list({ prefix: `${prefix}/`, delimiter: '/', from });
    const keys = [...page.objects.map(({ key }) => key), ...page.prefixes].map((key) => key.slice(prefix.length + 1));
    // An empty object at the prefix itself: what some programs make for a directory.
    yield* keys.filter((key) => key !== '').sort(byBytes);
    from = page.next;
  } while (from !== undefined);
}

function entryOf(key: string): ListEntry {
  return key.endsWith('/') ? { name: key.slice(0, -1), isPrefix: true } : { name: key, isPrefix: false };
}

/** The key of the directory that would have to come before the name though the server sends it after. */
function limitOf(name: string): string | undefined {
  const blocker = /^[^\0-.]+(?=[\0-.])/.exec(name)?.[0];
  return blocker === undefined ? undefined : `${blocker}/`;
}

function sorted(entries: readonly ListEntry[]): ListEntry[] {
  return entries.toSorted((a, b) => byBytes(a.name, b.name));
}

function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
