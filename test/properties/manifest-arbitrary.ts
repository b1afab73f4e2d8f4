import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { MEDIA_TYPES } from '../../oci/media-types.ts';

const HEX = Array.from('0123456789abcdef');

const hex = (length: number) => fc.string({ unit: fc.constantFrom(...HEX), minLength: length, maxLength: length });

export const digests: fc.Arbitrary<string> = fc.oneof(
  hex(64).map((text) => `sha256:${text}`),
  hex(128).map((text) => `sha512:${text}`),
);

// RFC 6838 section 4.2: restricted-name, at most 127 characters.
const restrictedNames = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/);

export const mediaTypes: fc.Arbitrary<string> = fc.oneof(
  fc.tuple(restrictedNames, restrictedNames).map(([type, subtype]) => `${type}/${subtype}`),
  fc.constantFrom(...Object.values(MEDIA_TYPES), 'application/vnd.oci.image.layer.v1.tar+gzip'),
);

export const sizes: fc.Arbitrary<number> = fc.oneof(fc.nat(), fc.maxSafeNat());

const annotations = fc.dictionary(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), {
  noNullPrototype: true,
});

/** Fields that no spec names, and that must not matter. */
const unknownFields = fc.dictionary(
  fc.string().map((text) => `x-${text}`),
  fc.jsonValue({ maxDepth: 3 }),
  {
    maxKeys: 3,
    noNullPrototype: true,
  },
);

const platforms = fc.record(
  {
    architecture: fc.constantFrom('amd64', 'arm64', 'unknown', ''),
    os: fc.constantFrom('linux', 'windows', 'unknown'),
    'os.version': fc.string(),
    'os.features': fc.array(fc.string(), { maxLength: 3 }),
    variant: fc.constantFrom('v6', 'v8'),
    features: fc.array(fc.string(), { maxLength: 2 }),
  },
  { requiredKeys: [], noNullPrototype: true },
);

const optionalFields = fc.record(
  { artifactType: mediaTypes, annotations, urls: fc.array(fc.webUrl(), { maxLength: 2 }), platform: platforms },
  { requiredKeys: [], noNullPrototype: true },
);

const distantContent = fc.record({ digest: digests, size: sizes }, { noNullPrototype: true });

/** Content that lies in the descriptor itself. */
const embeddedContent = fc
  .tuple(fc.uint8Array({ maxLength: 100 }), fc.constantFrom('sha256', 'sha512'))
  .map(([bytes, algorithm]) => ({
    digest: `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`,
    size: bytes.length,
    data: Buffer.from(bytes).toString('base64'),
  }));

/** A descriptor without unknown fields: as the parser gives it back. */
export const descriptors = fc
  .tuple(mediaTypes, fc.oneof(distantContent, embeddedContent), optionalFields)
  .map(([mediaType, content, optional]) => ({ mediaType, ...content, ...optional }));

const extendedDescriptors = fc.tuple(unknownFields, descriptors).map(([unknown, known]) => ({ ...unknown, ...known }));

const commonFields = fc.record(
  { artifactType: mediaTypes, subject: descriptors, annotations },
  { requiredKeys: [], noNullPrototype: true },
);

const lists = fc.array(extendedDescriptors, { minLength: 2, maxLength: 6 });

/** An image manifest, OCI's or Docker's, with two layers or more. */
export const imageManifests = fc
  .tuple(
    fc.constantFrom(MEDIA_TYPES.imageManifest, MEDIA_TYPES.dockerManifest),
    fc.record({ config: extendedDescriptors, layers: lists }, { noNullPrototype: true }),
    commonFields,
    unknownFields,
  )
  .map(([mediaType, content, common, unknown]) => ({ ...unknown, schemaVersion: 2, mediaType, ...content, ...common }));

/** An image index, OCI's or Docker's, with two children or more. */
export const imageIndexes = fc
  .tuple(
    fc.constantFrom(MEDIA_TYPES.imageIndex, MEDIA_TYPES.dockerManifestList),
    fc.record({ manifests: lists }, { noNullPrototype: true }),
    commonFields,
    unknownFields,
  )
  .map(([mediaType, content, common, unknown]) => ({ ...unknown, schemaVersion: 2, mediaType, ...content, ...common }));
