import { readDescriptors } from './descriptor.ts';
import type { JsonObject } from './json-field.ts';
import { readCommonFields, refuseFields, type ManifestContent } from './manifest-content.ts';
import type { ManifestFaults } from './manifest-fault.ts';

/**
 * Reads the artifact manifest of the image-spec's 1.1 release candidates. It has no config and no `schemaVersion`, and
 * may have no blobs.
 */
export function readArtifactManifest(body: JsonObject, faults: ManifestFaults): ManifestContent {
  refuseFields(body, ['config', 'layers', 'manifests'], 'an artifact manifest', faults);
  const layers = readDescriptors(body['blobs'] ?? [], 'blobs', faults);
  return { config: undefined, layers, manifests: [], ...readCommonFields(body, faults) };
}
