import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/names.ts';
import type { Context } from './context.ts';
import { expectRoom, roomLeft } from './quota.ts';
import type { ChunkClaim } from './upload-claims.ts';

/** How large an upload may become, by the quotas of its repository as they were a moment ago. */
export interface UploadRoom {
  readonly bytes: number;
  /**
   * Called with a size above `bytes`.
   *
   * @throws RegistryError `DENIED`, unless room was made meanwhile
   */
  refuse(size: number): Promise<void>;
}

const BOUNDLESS: UploadRoom = { bytes: Infinity, refuse: async () => {} };

/**
 * Looks whether what a request brings has room, before its bytes are taken; whether it really has is decided when the
 * blob is made.
 *
 * @param upload `size` of what the session has already; `digest` where the request says it: what the repository has
 *   already takes no room
 * @throws RegistryError `DENIED` when it is known to have none
 */
export async function roomFor(
  context: Context,
  upload: {
    readonly name: RepositoryName;
    readonly size: number;
    readonly claim: ChunkClaim;
    readonly digest?: Digest;
  },
): Promise<UploadRoom> {
  const { name, size, claim, digest } = upload;
  if (!context.settings.quotas.some((quota) => quota.bytes !== undefined && quota.fits(name))) return BOUNDLESS;
  const known = digest && (await context.metadata.blobs.lookup(name, digest));
  if (known?.blob !== undefined || known?.isDamaged === true) return BOUNDLESS;
  await expectRoom(context, name, size + lengthOf(claim));
  const room = {
    bytes: await roomLeft(context, name),
    refuse: async (reached: number) => {
      await expectRoom(context, name, reached);
      room.bytes = await roomLeft(context, name);
    },
  };
  return room;
}

function lengthOf({ range, length = 0 }: ChunkClaim): number {
  return range === undefined ? length : range.end - range.start + 1;
}
