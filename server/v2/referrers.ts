import type { Digest } from '../../oci/digest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { Referrer } from '../../registry/referrers.ts';
import { jsonReply, type Exchange, type Reply } from '../http/exchange.ts';
import { nextLink, parsePage } from '../http/paging.ts';
import type { Services } from './services.ts';

const PAGE = { limit: 1_000, max: 1_000 };
// Clients read an index of 4 MiB at most, and annotations may be long.
const PAGE_BYTES = 3 * 1024 * 1024;

/** end-12a, end-12b. */
export async function listReferrers(
  services: Services,
  exchange: Exchange<{ name: RepositoryName; digest: Digest }>,
): Promise<Reply> {
  const { name, digest } = exchange.params;
  // A plus that was not encoded reads as a space (URL Standard), and no media type has a space.
  const artifactType = exchange.query.get('artifactType')?.replaceAll(' ', '+');
  const { limit, last } = parsePage(exchange.query, PAGE);
  const filter = { artifactType, after: last, limit: limit + 1 };
  const found = await services.registry.referrers.page(name, digest, filter);
  const manifests = fitting(found.slice(0, limit).map(descriptorOf));
  const headers: Record<string, string> = { 'Content-Type': MEDIA_TYPES.imageIndex };
  if (artifactType !== undefined) headers['OCI-Filters-Applied'] = 'artifactType';
  if (manifests.length < found.length && limit > 0) {
    headers['Link'] = nextLink(`/v2/${name}/referrers/${digest}`, {
      ...(artifactType === undefined ? {} : { artifactType }),
      n: String(limit),
      last: manifests.at(-1)?.digest ?? '',
    });
  }
  return jsonReply(200, { schemaVersion: 2, mediaType: MEDIA_TYPES.imageIndex, manifests }, headers);
}

function descriptorOf({ mediaType, digest, size, artifactType, annotations }: Referrer) {
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  };
}

/** As many as a client can read in one answer, one at least. */
function fitting<T>(descriptors: readonly T[]): readonly T[] {
  let bytes = 0;
  const end = descriptors.findIndex((descriptor, i) => {
    bytes += Buffer.byteLength(JSON.stringify(descriptor)) + 1;
    return bytes > PAGE_BYTES && i > 0;
  });
  return end === -1 ? descriptors : descriptors.slice(0, end);
}
