import { readDescriptors } from './descriptor.ts';
import type { JsonObject } from './json-field.ts';
import { readCommonFields, refuseFields, requireSchemaVersion2, type ManifestContent } from './manifest-content.ts';
import type { ManifestFaults } from './manifest-fault.ts';

/** Reads an image index (image-spec, image-index.md) or a Docker manifest list: the same fields. */
export function readImageIndex(body: JsonObject, faults: ManifestFaults): ManifestContent {
  requireSchemaVersion2(body, faults);
  refuseFields(body, ['config', 'layers'], 'an image index', faults);
  const manifests = readDescriptors(body['manifests'], 'manifests', faults);
  return { config: undefined, layers: [], manifests, ...readCommonFields(body, faults) };
}
