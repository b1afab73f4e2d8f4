import { StorageError } from '../driver.ts';
import type { BucketUploads, UploadName } from './bucket-uploads.ts';
import type { Bucket } from './bucket.ts';
import { isBadDigest, isForbidden, isOutage } from './failure.ts';

const RIGHT = Buffer.from('right');
const WRONG = Buffer.from('wrong');

/**
 * Whether a server looks at the CRC-32 of the parts of an upload, as AWS does. Then no MD5 is needed for that a damaged part
 * is refused, which costs half of the time that a process has for a large upload. radosgw takes what does not match, and says
 * nothing: it is told apart by a part that it has to refuse.
 */
export class PartChecks {
  readonly #bucket: Bucket;
  readonly #uploads: BucketUploads;
  /** Where the parts are checked otherwise, by the signature. */
  readonly #isNeeded: boolean;
  #areHeeded: Promise<boolean> | undefined;

  constructor(bucket: Bucket, uploads: BucketUploads, isNeeded: boolean) {
    this.#bucket = bucket;
    this.#uploads = uploads;
    this.#isNeeded = isNeeded;
  }

  /**
   * Tries it once, by a whole upload of a few bytes.
   *
   * @param spare where nothing lies, and where nothing is left
   */
  async areHeeded(spare: string): Promise<boolean> {
    if (!this.#isNeeded) return false;
    const asking = (this.#areHeeded ??= this.#ask(spare));
    try {
      return await asking;
    } catch (error) {
      // Nobody knows: asked again by the next one.
      if (this.#areHeeded === asking) this.#areHeeded = undefined;
      throw error;
    }
  }

  async #ask(spare: string): Promise<boolean> {
    const upload = await this.#uploads.create(spare, true);
    try {
      if (await this.#isDone(upload)) {
        await this.#bucket.remove([spare]);
        return true;
      }
    } catch (error) {
      if (!(error instanceof StorageError) || isOutage(error) || isForbidden(error.cause)) throw error;
      // What cannot be done with it is done without.
    }
    await this.#uploads.abort(upload).catch(() => undefined);
    return false;
  }

  async #isDone(upload: UploadName): Promise<boolean> {
    if (upload.isChecked !== true || (await this.#takesWrong(upload))) return false;
    const part = await this.#uploads.putPart(upload, 1, RIGHT);
    // Whoever takes an upload up has to know them: SeaweedFS does not say them.
    const [listed] = (await this.#uploads.parts(upload)) ?? [];
    if (listed === undefined || listed.crc32 !== part.crc32) return false;
    await this.#uploads.complete(upload, [listed]);
    return true;
  }

  async #takesWrong(upload: UploadName): Promise<boolean> {
    try {
      await this.#uploads.putPart(upload, 1, WRONG, RIGHT);
    } catch (error) {
      if (error instanceof StorageError && isBadDigest(error.cause)) return false;
      throw error;
    }
    return true;
  }
}
