import { readDescriptor, type Descriptor } from './descriptor.ts';
import { readMediaType, readOptional, readStringMap, refuseMisspelt, type JsonObject } from './json-field.ts';
import type { ManifestFaults } from './manifest-fault.ts';

/** What a manifest refers to and says of itself. */
export interface ManifestContent {
  readonly config: Descriptor | undefined;
  /** Of an artifact manifest (OCI 1.1-rc) its `blobs`. */
  readonly layers: readonly Descriptor[];
  /** The children of an index. */
  readonly manifests: readonly Descriptor[];
  readonly subject: Descriptor | undefined;
  /** As the referrers API shows it: that of the manifest, or for an image without one the type of its config. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>> | undefined;
}

const FIELDS = [
  'schemaVersion',
  'mediaType',
  'artifactType',
  'config',
  'layers',
  'manifests',
  'blobs',
  'subject',
  'annotations',
] as const;

export type CommonFields = Pick<ManifestContent, 'subject' | 'artifactType' | 'annotations'>;

/** What image, index and artifact manifest have in common. */
export function readCommonFields(body: JsonObject, faults: ManifestFaults): CommonFields {
  refuseMisspelt(body, FIELDS, '$', faults);
  return {
    subject: readOptional(body, 'subject', '$', faults, readDescriptor),
    artifactType:
      body['artifactType'] === '' ? undefined : readOptional(body, 'artifactType', '$', faults, readMediaType),
    annotations: readOptional(body, 'annotations', '$', faults, readStringMap),
  };
}

export function requireSchemaVersion2(body: JsonObject, faults: ManifestFaults): void {
  if (body['schemaVersion'] !== 2) faults.add('schemaVersion', 'must be 2');
}

/**
 * Refuses fields that would make it another kind of manifest for a client that looks at the fields first: one digest
 * must not stand for two contents (CVE-2021-41190). Distribution and containerd refuse the same.
 */
export function refuseFields(body: JsonObject, fields: readonly string[], kind: string, faults: ManifestFaults): void {
  for (const field of fields) {
    const isThere = body[field] !== undefined && body[field] !== null;
    if (isThere) faults.add(field, `does not belong into ${kind}: leave it out`);
  }
}
