import { StorageError } from '../blobs/driver.ts';

/**
 * A database could not be asked, or could not do it: never the store of the blobs, which may be there all the same.
 */
export class IndexError extends StorageError {}
