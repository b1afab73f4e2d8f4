import type { BucketUploads } from './bucket-uploads.ts';
import type { Bucket } from './bucket.ts';
import type { BucketDeferredCopies } from './deferred-copies.ts';
import { removeAll } from './deletion.ts';
import { scanBelow } from './listing.ts';
import { markerKey, stageOf, STAGED_PREFIX } from './stage-keys.ts';

/** Of one bucket. */
export interface AbandonedParts {
  readonly bucket: Bucket;
  readonly uploads: BucketUploads;
  readonly deferred: BucketDeferredCopies;
}

/**
 * Removes what nobody can go on with: of processes that died, and what was begun without an answer. A bucket keeps and bills
 * it for ever.
 *
 * @returns how many
 */
export async function removeAbandoned(parts: AbandonedParts, before: Date): Promise<number> {
  return (await abortUploads(parts, before)) + (await removeStaged(parts, before));
}

async function abortUploads({ bucket, uploads }: AbandonedParts, before: Date): Promise<number> {
  let count = 0;
  for await (const { key, id, begunAt } of uploads.all()) {
    if (begunAt >= before || (await isOfStage(bucket, key, id))) continue;
    await uploads.abort({ key, id });
    count += 1;
  }
  return count;
}

async function isOfStage(bucket: Bucket, key: string, id: string): Promise<boolean> {
  const stage = stageOf(key);
  if (stage === undefined) return false;
  for (const isChecked of [false, true]) if (await bucket.stat(markerKey(stage, { id, isChecked }))) return true;
  return false;
}

/** Whole staged objects that are of no stage any more, and wait for no copy. */
async function removeStaged({ bucket, deferred }: AbandonedParts, before: Date): Promise<number> {
  const left: string[] = [];
  for await (const objects of scanBelow(bucket, STAGED_PREFIX)) {
    for (const { key } of objects) if (await isOfNoStage(bucket, key, before)) left.push(key);
  }
  // Last: a commit points to the bytes before it takes its stage away.
  const waiting = left.length === 0 ? undefined : await deferred.sources();
  const abandoned = left.filter((key) => waiting?.has(key) === false);
  await removeAll(bucket, abandoned);
  return abandoned.length;
}

async function isOfNoStage(bucket: Bucket, key: string, before: Date): Promise<boolean> {
  const stat = await bucket.stat(key);
  if (stat === undefined || stat.modifiedAt >= before) return false;
  const { objects } = await bucket.list({ prefix: `${stageOf(key)}/` });
  return objects.length === 0;
}
