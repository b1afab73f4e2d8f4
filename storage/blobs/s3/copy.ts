import { StorageError } from '../driver.ts';
import type { BucketUploads, Part, UploadName } from './bucket-uploads.ts';
import type { Bucket } from './bucket.ts';

const GIB = 1024 ** 3;
// What one CopyObject takes at most.
const WHOLE_MAX_BYTES = 5 * GIB;
const PIECE_BYTES = GIB / 2;
const AT_ONCE = 4;

/**
 * Copies an object within the server, whatever its size.
 *
 * @param size of the object, in bytes
 * @throws StorageError `not-found` when nothing lies at `from`
 */
export async function copyObject(
  { bucket, uploads }: { readonly bucket: Bucket; readonly uploads: BucketUploads },
  from: string,
  to: string,
  size: number,
): Promise<void> {
  if (size <= WHOLE_MAX_BYTES) {
    await bucket.copy(from, to);
    return;
  }
  const upload = await uploads.create(to);
  try {
    await uploads.complete(upload, await copyParts(uploads, from, upload, size));
  } catch (error) {
    await uploads.abort(upload).catch(() => undefined);
    throw error;
  }
}

async function copyParts(
  uploads: BucketUploads,
  from: string,
  upload: UploadName,
  size: number,
): Promise<readonly Part[]> {
  const count = Math.ceil(size / PIECE_BYTES);
  const parts: Part[] = [];
  let next = 1;
  const work = async () => {
    while (next <= count) {
      const number = next++;
      const start = (number - 1) * PIECE_BYTES;
      const range = { start, end: Math.min(start + PIECE_BYTES, size) - 1 };
      parts.push(await uploads.copyPart(from, range, upload, number));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (parts.length !== count) throw new StorageError('unavailable', `COPY ${from}: ${parts.length} of ${count} parts`);
  return parts.sort((a, b) => a.number - b.number);
}
