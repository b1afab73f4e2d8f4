import type { Bucket } from './bucket.ts';

/** The most that one request removes. */
const BATCH = 1000;

/**
 * Removes the objects at the keys and everything below them. It takes few requests also for many keys: what they have in
 * common is listed from the first of them on, with a leap to the next where others lie between.
 */
export async function removeBelow(bucket: Bucket, keys: readonly string[]): Promise<void> {
  const roots = [...new Set(keys)].sort();
  // Most are no objects, and to say so costs nothing.
  let batch = [...roots];
  for await (const found of foundBelow(bucket, roots)) {
    batch.push(...found);
    for (; batch.length >= BATCH; batch = batch.slice(BATCH)) await bucket.remove(batch.slice(0, BATCH));
  }
  await removeAll(bucket, batch);
}

/** Removes the objects at the keys, however many. */
export async function removeAll(bucket: Bucket, keys: readonly string[]): Promise<void> {
  for (let at = 0; at < keys.length; at += BATCH) await bucket.remove(keys.slice(at, at + BATCH));
}

async function* foundBelow(bucket: Bucket, roots: readonly string[]): AsyncGenerator<readonly string[]> {
  const prefix = commonPrefix(roots.map((root) => `${root}/`));
  let root = roots[0];
  let last = '';
  while (root !== undefined) {
    const after: string = last > `${root}/` ? last : `${root}/`;
    const { objects, next } = await bucket.list({ prefix, after });
    yield objects.map(({ key }) => key).filter((key) => roots.some((other) => key.startsWith(`${other}/`)));
    last = objects.at(-1)?.key ?? '';
    // `0` is what comes after `/`.
    root = next === undefined ? undefined : roots.find((other) => `${other}0` > last);
  }
}

function commonPrefix(texts: readonly string[]): string {
  const [first = '', ...others] = texts;
  let length = first.length;
  for (const other of others) while (!other.startsWith(first.slice(0, length))) length -= 1;
  return first.slice(0, length);
}
