import { createHash } from 'node:crypto';
import { MEDIA_TYPES } from '../../oci/media-types.ts';

export const EMPTY_TYPE = 'application/vnd.oci.empty.v1+json';
export const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
export const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip';
export const ARTIFACT_TYPE = 'application/vnd.example.sbom.v1';

export function sha256(content: string): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

export function descriptor(mediaType: string, content: string) {
  return { mediaType, digest: sha256(content), size: Buffer.byteLength(content) };
}

/** Every field that the specs give an image manifest. */
export function imageManifest() {
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.imageManifest,
    artifactType: ARTIFACT_TYPE,
    config: { ...descriptor(CONFIG_TYPE, 'config'), data: Buffer.from('config').toString('base64') },
    layers: [
      descriptor(LAYER_TYPE, 'first'),
      {
        ...descriptor(LAYER_TYPE, 'second'),
        urls: ['https://example.com/second'],
        annotations: { 'org.example.key': 'value' },
        artifactType: ARTIFACT_TYPE,
      },
    ],
    subject: descriptor(MEDIA_TYPES.imageManifest, 'subject'),
    annotations: { 'org.opencontainers.image.created': '2026-11-24T00:00:00Z', '': 'empty key' },
  };
}

/** Every field that the specs give an image index. */
export function imageIndex() {
  const platform = { architecture: 'arm64', os: 'linux', 'os.version': '1', 'os.features': ['a'], variant: 'v8' };
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.imageIndex,
    artifactType: ARTIFACT_TYPE,
    manifests: [
      { ...descriptor(MEDIA_TYPES.imageManifest, 'first child'), platform },
      descriptor(MEDIA_TYPES.imageIndex, 'second child'),
    ],
    subject: descriptor(MEDIA_TYPES.imageManifest, 'subject'),
    annotations: { key: 'value' },
  };
}

/** As `docker push` writes it. */
export function dockerManifest() {
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.dockerManifest,
    config: descriptor('application/vnd.docker.container.image.v1+json', 'config'),
    layers: [descriptor('application/vnd.docker.image.rootfs.diff.tar.gzip', 'layer')],
  };
}

/** As `docker manifest push` writes it. */
export function dockerManifestList() {
  return {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.dockerManifestList,
    manifests: [
      {
        ...descriptor(MEDIA_TYPES.dockerManifest, 'child'),
        platform: { architecture: 'amd64', os: 'linux', features: ['sse4'] },
      },
    ],
  };
}

export function artifactManifest() {
  return {
    mediaType: MEDIA_TYPES.artifactManifest,
    artifactType: ARTIFACT_TYPE,
    blobs: [descriptor('text/plain', 'blob')],
    subject: descriptor(MEDIA_TYPES.imageManifest, 'subject'),
    annotations: { key: 'value' },
  };
}

export function bytesOf(body: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(body, undefined, 2));
}
