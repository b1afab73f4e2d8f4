import { StorageError } from '../driver.ts';
import type { Bucket } from './bucket.ts';
import { isNotImplemented, isOtherThanMeant } from './failure.ts';

// That of no object: an ETag of a whole object is its MD5, or looks like one.
const ETAG_OF_NOTHING = '"00000000000000000000000000000000"';

/**
 * Whether a server copies an object only when it is the one that is meant (`x-amz-copy-source-if-match`). radosgw copies
 * whatever lies there (https://tracker.ceph.com/issues/53945), and no answer tells the two apart but one to a wrong condition.
 */
export class CopyCondition {
  readonly #bucket: Bucket;
  #isHeeded: boolean | undefined;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /**
   * Asks the server once, by a copy that it has to refuse.
   *
   * @param from an object that is there
   * @param spare where nothing lies, and where nothing is left
   */
  async isHeeded(from: string, spare: string): Promise<boolean> {
    this.#isHeeded ??= await this.#ask(from, spare);
    return this.#isHeeded;
  }

  async #ask(from: string, spare: string): Promise<boolean> {
    try {
      await this.#bucket.copy(from, spare, ETAG_OF_NOTHING);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      if (isOtherThanMeant(error.cause)) return true;
      if (isNotImplemented(error.cause)) return false;
      throw error;
    }
    await this.#bucket.remove([spare]);
    return false;
  }
}
