import { parseRepositoryName, parseTag, type RepositoryName, type Tag } from '../../oci/names.ts';
import type { Digest } from '../../oci/digest.ts';
import { sha256 } from '../client.ts';
import { imageManifest } from './image-manifest.ts';

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
      const contents = blobs.map((each) => blob(each).bytes);
      const bytes = Buffer.from(imageManifest(contents, `image ${number} of the store`));
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
