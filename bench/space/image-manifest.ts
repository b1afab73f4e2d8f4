import { IMAGE_CONFIG, IMAGE_LAYER, IMAGE_MANIFEST, sha256 } from '../client.ts';

/** An image manifest over this content, the config first; `nonce` makes it unlike others. */
export function imageManifest([config, ...layers]: readonly Buffer[], nonce: string): string {
  const descriptor = (mediaType: string, bytes: Buffer | undefined) => ({
    mediaType,
    digest: bytes && sha256(bytes),
    size: bytes?.length,
  });
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: IMAGE_MANIFEST,
    config: descriptor(IMAGE_CONFIG, config),
    layers: layers.map((layer) => descriptor(IMAGE_LAYER, layer)),
    annotations: { 'org.example.bench.nonce': nonce },
  });
}
