import { readDescriptor, type Descriptor } from './descriptor.ts';
import type { JsonObject } from './json-field.ts';
import { readMediaType, readOptional, readStringMap, type FieldReader } from './json-field.ts';
import type { ManifestContent } from './manifest-content.ts';
import { ManifestFaults } from './manifest-fault.ts';

/**
 * Reads a manifest of a media type that this registry does not know.
 *
 * Its spec may use the words of the OCI's for something else. So whatever is a well-formed descriptor where the OCI
 * has one is followed, which keeps what it names from being taken for garbage, and everything else is let be.
 */
export function readOtherManifest(body: JsonObject): ManifestContent {
  return {
    config: lenient(body, 'config', readDescriptor),
    layers: [...descriptorsIn(body['layers']), ...descriptorsIn(body['blobs'])],
    manifests: descriptorsIn(body['manifests']),
    subject: lenient(body, 'subject', readDescriptor),
    artifactType: lenient(body, 'artifactType', readMediaType),
    annotations: lenient(body, 'annotations', readStringMap),
  };
}

function descriptorsIn(value: unknown): readonly Descriptor[] {
  if (!Array.isArray(value)) return [];
  return value.map((item: unknown) => withoutFaults(item, readDescriptor)).filter((item) => item !== undefined);
}

function lenient<T>(body: JsonObject, field: string, read: FieldReader<T>): T | undefined {
  return readOptional(body, field, '$', new ManifestFaults(), (value) => withoutFaults(value, read));
}

/** What was read, or undefined when there was anything to object to. */
function withoutFaults<T>(value: unknown, read: FieldReader<T>): T | undefined {
  const faults = new ManifestFaults();
  const result = read(value, '$', faults);
  return faults.isEmpty ? result : undefined;
}
