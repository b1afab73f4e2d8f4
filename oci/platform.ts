import { isJsonObject, readOptional, readString, readStrings } from './json-field.ts';
import type { ManifestFaults } from './manifest-fault.ts';

/**
 * What an image runs on (image-spec, image-index.md). The spec requires `architecture` and `os`; clients in use leave
 * them out, and nothing here depends on them.
 */
export interface Platform {
  readonly architecture?: string | undefined;
  readonly os?: string | undefined;
  readonly 'os.version'?: string | undefined;
  readonly 'os.features'?: readonly string[] | undefined;
  readonly variant?: string | undefined;
  readonly features?: readonly string[] | undefined;
}

export function readPlatform(value: unknown, place: string, faults: ManifestFaults): Platform | undefined {
  if (!isJsonObject(value)) {
    faults.add(place, 'must be an object with architecture and os');
    return undefined;
  }
  return {
    architecture: readOptional(value, 'architecture', place, faults, readString),
    os: readOptional(value, 'os', place, faults, readString),
    'os.version': readOptional(value, 'os.version', place, faults, readString),
    'os.features': readOptional(value, 'os.features', place, faults, readStrings),
    variant: readOptional(value, 'variant', place, faults, readString),
    features: readOptional(value, 'features', place, faults, readStrings),
  };
}
