import { allBelow } from './listing.ts';
import { Multipart } from './multipart.ts';
import { readListing, stagedDataKey } from './stage-keys.ts';
import { S3Stage, type StageParts } from './stage.ts';

/** Takes up the stage; undefined when the server has nothing of it. */
export async function resumeStage(parts: StageParts): Promise<S3Stage | undefined> {
  const { bucket, uploads, stage } = parts;
  const objects = await allBelow(bucket, stage);
  const { upload, tails } = readListing(stage, objects);
  const state = { ...parts, objects: objects.map(({ key }) => key) };
  const found = upload === undefined ? [] : await uploads.parts(upload);
  if (found === undefined) return resumeSealed(state);
  const multipart = upload && new Multipart(uploads, upload, found);
  const tail = tails.get(multipart?.size ?? 0);
  if (multipart === undefined && tail === undefined) return undefined;
  return new S3Stage(state, { multipart, tail });
}

/** The parts are one object by now; or the server forgot them, and what is left is no beginning of anything. */
async function resumeSealed(parts: StageParts & { readonly objects: readonly string[] }): Promise<S3Stage | undefined> {
  const key = stagedDataKey(parts.stage);
  const data = await parts.bucket.stat(key);
  // A commit that came to no end may have made them somebody else's.
  if (data === undefined || (await parts.deferred.sources()).has(key)) return undefined;
  return new S3Stage({ ...parts, objects: [...parts.objects, key] }, { sealedBytes: data.size });
}
