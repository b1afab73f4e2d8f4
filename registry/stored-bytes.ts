import { algorithmOf, type Digest } from '../oci/digest.ts';
import type { BlobStat } from '../storage/blobs/driver.ts';
import { blobKey } from '../storage/layout.ts';
import type { Context } from './context.ts';
import { digestOfReader } from './hashing.ts';
import { handleDamage, type Handled } from './quarantine.ts';

// Small, so that others have their turn in between.
const PIECE_BYTES = 256 * 1024;

/** What lies in the store where the bytes of a digest should be. */
export type Examined =
  | { readonly state: 'right'; readonly size: number }
  | { readonly state: 'missing'; readonly seen: undefined }
  | { readonly state: 'damaged'; readonly seen: BlobStat };

/**
 * Reads and hashes what the store has of a digest.
 *
 * @param pace awaited after each piece with its length
 * @throws StorageError when it cannot be read
 */
export async function examine(
  { driver }: Pick<Context, 'driver'>,
  digest: Digest,
  pace: (bytes: number) => Promise<void> = async () => {},
): Promise<Examined> {
  const reader = await driver.read(blobKey(digest));
  if (reader === undefined) return { state: 'missing', seen: undefined };
  const seen = reader.object;
  const actual = await digestOfReader(algorithmOf(digest), reader, (piece) => pace(piece.length), PIECE_BYTES);
  return actual === digest ? { state: 'right', size: seen.size } : { state: 'damaged', seen };
}

/**
 * Looks at bytes that somebody has reason to doubt, and takes them out of everybody's way when they are damaged.
 *
 * @returns what became of them; `right` when nothing is wrong with them
 */
export async function suspect(context: Context, digest: Digest, cause: string): Promise<Handled | 'right'> {
  const examined = await examine(context, digest);
  if (examined.state === 'right') return 'right';
  return handleDamage(context, { digest, seen: examined.seen, cause });
}

/**
 * For a blob that was found damaged once: somebody else, such as another server, may have stored it anew since.
 *
 * @returns whether it is whole again
 */
export async function reconsider(context: Context, digest: Digest): Promise<boolean> {
  const { driver, metadata } = context;
  if ((await driver.stat(blobKey(digest))) === undefined) return false;
  if ((await suspect(context, digest, 'another server left it damaged')) !== 'right') return false;
  // Not as verified: nobody knows whether it is on the disk.
  await metadata.write('relaxed', (tx) => metadata.integrity.heal(tx, digest));
  context.log.info('a blob that was damaged is whole again', { digest });
  return true;
}
