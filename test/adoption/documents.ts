import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { digestOf, seededBytes, type Descriptor } from '../harness/push.ts';

/** A manifest as it is pushed. */
export interface Document {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

/** A manifest with the blobs that have to be there before it. */
export interface ImageDocument extends Document {
  readonly blobs: readonly Uint8Array[];
}

export interface ImageOptions {
  readonly docker?: boolean;
  readonly layers?: number;
  /** Of the digests of the layers. */
  readonly algorithm?: 'sha256' | 'sha512';
  readonly subject?: Descriptor;
  readonly artifactType?: string;
}

const LAYER_BYTES = 3000;
const OCI = {
  manifest: MEDIA_TYPES.imageManifest,
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
};
const DOCKER = {
  manifest: MEDIA_TYPES.dockerManifest,
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
};

/** An image of layers that hold noise, the same for the same seed. */
export function image(seed: string, options: ImageOptions = {}): ImageDocument {
  const { docker = false, layers = 2, algorithm = 'sha256', subject, artifactType } = options;
  const types = docker ? DOCKER : OCI;
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Labels: { seed } } }));
  const contents = Array.from({ length: layers }, (_, index) => seededBytes(`${seed} layer ${index}`, LAYER_BYTES));
  const document = documentOf({
    schemaVersion: 2,
    mediaType: types.manifest,
    ...(artifactType !== undefined && { artifactType }),
    config: descriptorOf({ bytes: config, mediaType: types.config }),
    layers: contents.map((bytes) => descriptorOf({ bytes, mediaType: types.layer }, algorithm)),
    ...(subject !== undefined && { subject }),
  });
  return { ...document, blobs: [config, ...contents] };
}

/** An OCI image index, or Docker's manifest list, of manifests that are pushed already. */
export function indexOf(
  children: readonly Document[],
  options: { readonly docker?: boolean; readonly artifactTypes?: readonly string[] } = {},
): Document {
  const { docker = false, artifactTypes } = options;
  return documentOf({
    schemaVersion: 2,
    mediaType: docker ? MEDIA_TYPES.dockerManifestList : MEDIA_TYPES.imageIndex,
    manifests: children.map((child, index) => ({
      ...descriptorOf(child),
      ...(artifactTypes === undefined
        ? { platform: { os: 'linux', architecture: `cpu${index}` } }
        : { artifactType: artifactTypes[index] }),
    })),
  });
}

export function descriptorOf({ bytes, mediaType }: Document, algorithm?: 'sha256' | 'sha512'): Descriptor {
  return { mediaType, digest: digestOf(bytes, algorithm), size: bytes.length };
}

function documentOf(content: { readonly mediaType: string; readonly [member: string]: unknown }): Document {
  return { bytes: Buffer.from(JSON.stringify(content)), mediaType: content.mediaType };
}
