import { parseRepositoryName, parseTag, type RepositoryName, type Tag } from '../../oci/names.ts';
import type { Digest } from '../../oci/digest.ts';
import { IMAGE_CONFIG, IMAGE_LAYER, IMAGE_MANIFEST, sha256 } from '../client.ts';

/** How large a store is. */
export interface StoreSize {
  readonly repositories: number;
  /** Configs and layers. */
  readonly blobs: number;
  /** Each an image of its own. */
  readonly manifests: number;
}

export interface ShapedBlob {
  readonly digest: Digest;
  readonly bytes: Buffer;
}

export interface ShapedImage {
  readonly name: RepositoryName;
  readonly tags: readonly Tag[];
  readonly manifest: ShapedBlob;
  /** The config first, then the layers; numbers for `StoreShape.blob`. */
  readonly blobs: readonly number[];
}

/** A store that exists only as a rule: everything in it follows from its size and its number. */
export interface StoreShape {
  readonly size: StoreSize;
  blob(number: number): ShapedBlob;
  image(number: number): ShapedImage;
}

const TEAMS = 20;
// Of whom each image takes two, as images do that are built on the same few.
const BASES_MAX = 100;
const BYTES_MIN = 100;
const BYTES_SPREAD = 500;

/** @throws RangeError where there are not enough blobs for the images */
export function shapeStore(size: StoreSize): StoreShape {
  const bases = Math.min(BASES_MAX, size.manifests, Math.floor((size.blobs - size.manifests) / 2));
  if (bases < 2 || size.manifests < size.repositories) throw new RangeError('too few blobs or manifests');
  const blob = (number: number) => {
    const bytes = Buffer.alloc(BYTES_MIN + ((number * 37) % BYTES_SPREAD), `blob ${number} `);
    return { digest: sha256(bytes), bytes };
  };
  const blobsOf = (number: number) => {
    const [config, ...own] = dealt(size, bases, number);
    if (config === undefined) throw new RangeError(`image ${number} has no config`);
    return [config, number % bases, (number * 7 + 1) % bases, ...own];
  };
  return {
    size,
    blob,
    image: (number) => {
      const repository = number % size.repositories;
      const version = Math.floor(number / size.repositories);
      const isNewest = number + size.repositories >= size.manifests;
      const blobs = [...new Set(blobsOf(number))];
      const bytes = Buffer.from(JSON.stringify(manifestOf(number, blobs.map(blob))));
      return {
        name: parseRepositoryName(`team-${repository % TEAMS}/app-${repository}`),
        tags: [`v1.${version}`, ...(isNewest ? ['latest'] : [])].map(parseTag),
        manifest: { digest: sha256(bytes), bytes },
        blobs,
      };
    },
  };
}

/** The blobs behind the bases are dealt to the images one by one. */
function dealt({ blobs, manifests }: StoreSize, bases: number, image: number): number[] {
  const own: number[] = [];
  for (let number = bases + image; number < blobs; number += manifests) own.push(number);
  return own;
}

function manifestOf(number: number, [config, ...layers]: readonly ShapedBlob[]) {
  const descriptor = (mediaType: string, blob: ShapedBlob | undefined) => ({
    mediaType,
    digest: blob?.digest,
    size: blob?.bytes.length,
  });
  return {
    schemaVersion: 2,
    mediaType: IMAGE_MANIFEST,
    config: descriptor(IMAGE_CONFIG, config),
    layers: layers.map((layer) => descriptor(IMAGE_LAYER, layer)),
    annotations: {
      'org.opencontainers.image.created': '2026-01-01T00:00:00Z',
      'org.opencontainers.image.revision': String(number).padStart(40, '0'),
    },
  };
}
