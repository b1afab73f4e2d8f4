import { readDescriptor, readDescriptors } from './descriptor.ts';
import type { JsonObject } from './json-field.ts';
import { readCommonFields, refuseFields, requireSchemaVersion2, type ManifestContent } from './manifest-content.ts';
import type { ManifestFaults } from './manifest-fault.ts';

/**
 * Reads an image manifest (image-spec, manifest.md) or a Docker one of schema 2: the same fields.
 *
 * An empty config without an `artifactType` breaks a rule for those who make manifests; it is taken, as Distribution,
 * zot and olareg take it, since no client pulls it wrongly for that.
 */
export function readImageManifest(body: JsonObject, faults: ManifestFaults): ManifestContent {
  requireSchemaVersion2(body, faults);
  refuseFields(body, ['manifests'], 'an image manifest', faults);
  const config = readDescriptor(body['config'], 'config', faults);
  const layers = readDescriptors(body['layers'], 'layers', faults);
  const common = readCommonFields(body, faults);
  return { config, layers, manifests: [], ...common, artifactType: common.artifactType ?? config?.mediaType };
}
