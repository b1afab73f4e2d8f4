import { createHash } from 'node:crypto';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { Random } from './random.ts';

export interface Blob {
  readonly digest: string;
  readonly bytes: Buffer;
}

/** A manifest with what it refers to. */
export interface Document extends Blob {
  readonly mediaType: string;
  /** Digests of the config and the layers. */
  readonly blobs: readonly string[];
  /** Digests of the manifests of an index. */
  readonly children: readonly string[];
}

export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

export function blobOf(bytes: Buffer): Blob {
  return { digest: sha256(bytes), bytes };
}

const POPULAR = 12;

/** A blob as layers are: most are small, some are a megabyte, some are the same that others push at the same time. */
export function randomBlob(random: Random): Blob {
  if (random.chance(0.15)) return blobOf(new Random(`popular ${random.integer(1, POPULAR)}`).bytes(5000));
  const kind = random.integer(1, 100);
  if (kind <= 60) return blobOf(random.bytes(random.integer(1, 4096)));
  if (kind <= 94) return blobOf(random.bytes(random.integer(4097, 65_536)));
  return blobOf(random.bytes(random.integer(65_537, 1_048_576)));
}

/** Of more bytes than a bucket takes as one part. */
export function largeBlob(random: Random): Blob {
  return blobOf(random.bytes(random.integer(9 * 1024 * 1024, 12 * 1024 * 1024)));
}

export function configBlob(random: Random): Blob {
  const config = {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: [] },
    id: random.bytes(16).toString('hex'),
  };
  return blobOf(Buffer.from(JSON.stringify(config)));
}

/** An image manifest of the OCI's form, or of Docker's. */
export function imageDocument(config: Blob, layers: readonly Blob[], form: 'oci' | 'docker'): Document {
  const isDocker = form === 'docker';
  const mediaType = isDocker ? MEDIA_TYPES.dockerManifest : MEDIA_TYPES.imageManifest;
  const configType = isDocker
    ? 'application/vnd.docker.container.image.v1+json'
    : 'application/vnd.oci.image.config.v1+json';
  const layerType = isDocker
    ? 'application/vnd.docker.image.rootfs.diff.tar.gzip'
    : 'application/vnd.oci.image.layer.v1.tar+gzip';
  const bytes = encode({
    schemaVersion: 2,
    mediaType,
    config: descriptor(config, configType),
    layers: layers.map((layer) => descriptor(layer, layerType)),
  });
  return { ...blobOf(bytes), mediaType, blobs: [config, ...layers].map(({ digest }) => digest), children: [] };
}

export function indexDocument(images: readonly Document[]): Document {
  const mediaType = MEDIA_TYPES.imageIndex;
  const manifests = images.map((image, at) => ({
    ...descriptor(image, image.mediaType),
    platform: { os: 'linux', architecture: ['amd64', 'arm64', 's390x'][at] ?? 'riscv64' },
  }));
  const bytes = encode({ schemaVersion: 2, mediaType, manifests });
  return { ...blobOf(bytes), mediaType, blobs: [], children: images.map(({ digest }) => digest) };
}

function descriptor({ digest, bytes }: Blob, mediaType: string) {
  return { mediaType, digest, size: bytes.length };
}

function encode(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value, undefined, 2));
}
