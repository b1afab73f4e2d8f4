import type { BucketUploads } from './bucket-uploads.ts';
import type { Bucket } from './bucket.ts';
import { markerKey, stageOf } from './stage-keys.ts';

/**
 * Aborts multipart uploads that nobody can go on with: of processes that died, and those whose beginning was never
 * answered. A bucket keeps and bills them for ever.
 *
 * @returns how many
 */
export async function abortAbandoned(bucket: Bucket, uploads: BucketUploads, before: Date): Promise<number> {
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
  return stage !== undefined && (await bucket.stat(markerKey(stage, id))) !== undefined;
}
