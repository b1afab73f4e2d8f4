import assert from 'node:assert/strict';
import { before, it } from 'node:test';
import * as fc from 'fast-check';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { CONFIG_TYPE, descriptor, LAYER_TYPE, OCI_MANIFEST, pushBlob } from '../http/content.ts';
import { assertRefused } from '../http/refusal.ts';
import { describeOnDrivers } from '../http/suite.ts';

const anything = fc.jsonValue({ maxDepth: 3 });
const size = fc.oneof(fc.constantFrom(0, 1, 2, 5, -1, 1.5, 1e300, 2 ** 53), anything);
const descriptors = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      descriptor(CONFIG_TYPE, '{}'),
      descriptor(LAYER_TYPE, 'layer'),
      descriptor(LAYER_TYPE, 'not here'),
    ),
  },
  fc.record({
    mediaType: fc.oneof(fc.constant(LAYER_TYPE), anything),
    digest: fc.oneof(fc.constant(descriptor(LAYER_TYPE, 'layer').digest), anything),
    size,
  }),
  anything,
);
const mediaType = fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...Object.values(MEDIA_TYPES)) }, anything);
const lists = fc.oneof({ weight: 3, arbitrary: fc.array(descriptors, { maxLength: 3 }) }, anything);

const manifestLike = fc.record(
  {
    schemaVersion: fc.oneof({ weight: 5, arbitrary: fc.constant(2) }, anything),
    mediaType,
    config: descriptors,
    layers: lists,
    manifests: lists,
    blobs: lists,
    subject: descriptors,
    artifactType: mediaType,
    annotations: fc.oneof(fc.dictionary(fc.string(), fc.oneof(fc.string(), anything), { maxKeys: 3 }), anything),
  },
  { requiredKeys: ['schemaVersion'] },
);

const body: fc.Arbitrary<string | Uint8Array> = fc.oneof(
  { weight: 6, arbitrary: manifestLike.map((value) => JSON.stringify(value)) },
  { weight: 2, arbitrary: fc.json() },
  // Cut off somewhere.
  fc.tuple(manifestLike, fc.nat(400)).map(([value, length]) => JSON.stringify(value).slice(0, length)),
  fc.uint8Array({ maxLength: 100 }),
);
/** That almost none of the others are taken would otherwise be all that is seen. */
const image = fc
  .record(
    {
      schemaVersion: fc.constant(2),
      mediaType: fc.constant(OCI_MANIFEST),
      config: fc.constant(descriptor(CONFIG_TYPE, '{}')),
      layers: fc.array(fc.constant(descriptor(LAYER_TYPE, 'layer')), { maxLength: 3 }),
      annotations: fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
    },
    { requiredKeys: ['schemaVersion', 'config', 'layers'] },
  )
  .chain((value) => fc.nat(4).map((indent) => JSON.stringify(value, null, indent)));
const contentType = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(...Object.values(MEDIA_TYPES), `${OCI_MANIFEST}; charset=utf-8`, 'application/json'),
  },
  fc.string({ unit: 'grapheme-ascii', maxLength: 30 }),
);

const sent = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(body, contentType) },
  { weight: 1, arbitrary: fc.tuple(image, fc.constant(OCI_MANIFEST)) },
);

describeOnDrivers('any document as a manifest', (setup) => {
  before(async () => {
    for (const content of ['{}', 'layer']) await pushBlob(setup.client, 'documents', content);
  });

  it('is taken and given back byte for byte, or refused with a reason; never a 5xx', async () => {
    const counts = { taken: 0, refused: 0 };
    const property = fc.asyncProperty(sent, async ([document, type]) => {
      const path = '/v2/documents/manifests/tag';
      await setup.client.delete(path);
      const answer = await setup.client.put(path, document, { 'Content-Type': type });
      if (answer.status === 201) {
        counts.taken++;
        assert.ok((await setup.client.get(path)).bytes.equals(Buffer.from(document)));
        return;
      }
      counts.refused++;
      if (answer.status === 404) assertRefused(answer, 404, 'MANIFEST_BLOB_UNKNOWN');
      else assertRefused(answer, 400, 'MANIFEST_INVALID');
      assertRefused(await setup.client.get(path), 404, 'MANIFEST_UNKNOWN');
    });
    await fc.assert(property, { numRuns: 500 });
    assert.ok(counts.taken > 10 && counts.refused > 100, JSON.stringify(counts));
  });
});
