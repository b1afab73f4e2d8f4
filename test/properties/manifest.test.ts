import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { isDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import { isJsonObject, type JsonObject } from '../../oci/json-field.ts';
import { parseManifest, type Manifest } from '../../oci/manifest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { parseReferrersTag, referrerDescriptor, referrersTagOf } from '../../oci/referrer.ts';
import { parseDigest } from '../../oci/digest.ts';
import { bytesOf, descriptor, LAYER_TYPE } from '../unit/manifest-examples.ts';
import { IMAGE_MUTATIONS, INDEX_MUTATIONS, mutated, type Mutation } from '../unit/manifest-mutations.ts';
import { refusalOf } from '../unit/manifest-refusal.ts';
import { digests, imageIndexes, imageManifests } from './manifest-arbitrary.ts';

interface Generated {
  readonly mediaType: string;
}

const DESCRIPTOR_FIELDS = ['mediaType', 'digest', 'size', 'artifactType', 'annotations', 'urls', 'platform', 'data'];

/** Through JSON: without what is undefined, and in a form to compare. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** What a descriptor must come back as. */
function known(value: unknown): unknown {
  assert(isJsonObject(value));
  return Object.fromEntries(Object.entries(value).filter(([key]) => DESCRIPTOR_FIELDS.includes(key)));
}

function allKnown(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value.map(known) : [];
}

function checkAgainst(body: JsonObject, manifest: Manifest): void {
  const config = body['config'] === undefined ? undefined : known(body['config']);
  const configType = isJsonObject(config) ? config['mediaType'] : undefined;
  assert.deepEqual(plain(manifest), {
    mediaType: body['mediaType'],
    kind: body['manifests'] === undefined ? 'image' : 'index',
    ...(config === undefined ? {} : { config }),
    layers: allKnown(body['layers']),
    manifests: allKnown(body['manifests']),
    ...(body['subject'] === undefined ? {} : { subject: known(body['subject']) }),
    ...(body['annotations'] === undefined ? {} : { annotations: body['annotations'] }),
    ...((body['artifactType'] ?? configType) === undefined ? {} : { artifactType: body['artifactType'] ?? configType }),
  });
}

const kinds: readonly (readonly [name: string, bodies: fc.Arbitrary<Generated>, mutations: readonly Mutation[]])[] = [
  ['image manifest', imageManifests, IMAGE_MUTATIONS],
  ['image index', imageIndexes, INDEX_MUTATIONS],
];

for (const [name, bodies, mutations] of kinds) {
  describe(`any ${name}`, () => {
    it('comes back as it was written, with and without Content-Type', () => {
      fc.assert(
        fc.property(bodies, fc.boolean(), (body, isDeclared) => {
          const manifest = parseManifest(bytesOf(body), isDeclared ? `${body.mediaType}; charset=utf-8` : undefined);
          const written = plain(body);
          assert(isJsonObject(written));
          checkAgainst(written, manifest);
        }),
        { numRuns: 150 },
      );
    });

    it('is refused after any single mutation, at the place of the mutation', () => {
      fc.assert(
        fc.property(bodies, fc.constantFrom(...mutations), (body, mutation) => {
          const bytes = bytesOf(mutated(body, mutation, descriptor(LAYER_TYPE, 'subject')));
          assert.deepEqual(refusalOf(() => parseManifest(bytes, body.mediaType)).places, [mutation.place]);
        }),
        { numRuns: 600 },
      );
    });

    it('is refused as a manifest or taken, whatever bytes are changed', () => {
      const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 3 });
      let refused = 0;
      fc.assert(
        fc.property(bodies, changes, (body, patches) => {
          const bytes = Buffer.from(bytesOf(body));
          for (const [at, byte] of patches) bytes[at % bytes.length] = byte;
          try {
            parseManifest(bytes, body.mediaType);
          } catch (error) {
            assert(error instanceof RegistryError && error.code === 'MANIFEST_INVALID');
            refused++;
          }
        }),
        { numRuns: 300 },
      );
      assert(refused > 0);
    });
  });
}

describe('any JSON', () => {
  it('is refused as a manifest or taken, under any type', () => {
    const contentTypes = fc.oneof(fc.constantFrom(undefined, ...Object.values(MEDIA_TYPES)), fc.string());
    const fields = fc.constantFrom(
      'schemaVersion',
      'mediaType',
      'config',
      'layers',
      'manifests',
      'subject',
      'blobs',
      'annotations',
    );
    const values = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom<unknown>(2, [], {}, [{}], { digest: 'x' }, ...Object.values(MEDIA_TYPES)),
    );
    fc.assert(
      fc.property(fc.dictionary(fields, values), contentTypes, (body, contentType) => {
        try {
          const manifest = parseManifest(bytesOf(body), contentType);
          const all = [manifest.config, manifest.subject, ...manifest.layers, ...manifest.manifests];
          for (const each of all) assert(each === undefined || isDigest(each.digest));
        } catch (error) {
          if (!(error instanceof RegistryError)) throw error;
          refusalOf(() => {
            throw error;
          });
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('any referrer', () => {
  it('is described by what it says of itself', () => {
    fc.assert(
      fc.property(fc.oneof(imageManifests, imageIndexes), digests, fc.nat(), (body, text, size) => {
        const manifest = parseManifest(bytesOf(body), undefined);
        const described = referrerDescriptor(manifest, parseDigest(text), size);
        assert.deepEqual(
          [described.mediaType, described.digest, described.size, described.annotations],
          [body.mediaType, text, size, manifest.annotations],
        );
        assert.equal(described.artifactType, manifest.artifactType);
      }),
      { numRuns: 50 },
    );
  });

  it('has a tag by the words of the spec, which is read again', () => {
    fc.assert(
      fc.property(digests, (text) => {
        const [algorithm = '', encoded = ''] = text.split(':');
        const tag = referrersTagOf(parseDigest(text));
        const expected = `${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}`.replaceAll(/[^A-Za-z0-9._-]/g, '-');
        assert.equal(tag, expected);
        assert.deepEqual(parseReferrersTag(tag), { algorithm, encodedPrefix: encoded.slice(0, 64) });
      }),
    );
  });
});
