import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseManifest } from '../../oci/manifest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import {
  artifactManifest,
  bytesOf,
  descriptor,
  dockerManifest,
  imageIndex,
  imageManifest,
  LAYER_TYPE,
} from './manifest-examples.ts';
import { IMAGE_MUTATIONS, INDEX_MUTATIONS, mutated, type Mutation } from './manifest-mutations.ts';
import { refusalOf } from './manifest-refusal.ts';

const examples: readonly (readonly [
  name: string,
  body: { readonly mediaType: string },
  mutations: readonly Mutation[],
])[] = [
  ['an image manifest', imageManifest(), IMAGE_MUTATIONS],
  ['an image index', imageIndex(), INDEX_MUTATIONS],
];

for (const [name, body, mutations] of examples) {
  describe(`${name} is refused with`, () => {
    for (const mutation of mutations) {
      it(mutation.name, () => {
        const bytes = bytesOf(mutated(body, mutation, descriptor(LAYER_TYPE, 'subject')));
        const refusal = refusalOf(() => parseManifest(bytes, body.mediaType));
        assert.deepEqual(refusal.places, [mutation.place]);
      });
    }
  });
}

const refuse = (body: unknown, contentType: string) => refusalOf(() => parseManifest(bytesOf(body), contentType));

function withDigest(digest: string) {
  const { config, ...rest } = dockerManifest();
  return refuse({ ...rest, config: { ...config, digest } }, MEDIA_TYPES.dockerManifest);
}

describe('the faults of a manifest', () => {
  it('are reported together, in the order of the document', () => {
    const bad = { mediaType: 1, digest: 'x', size: -1 };
    const { place, places } = refuse({ config: bad, layers: [bad] }, MEDIA_TYPES.imageManifest);
    assert.equal(place, 'schemaVersion');
    assert.deepEqual(places, [
      'schemaVersion',
      'config.mediaType',
      'config.digest',
      'config.size',
      'layers[0].mediaType',
      'layers[0].digest',
      'layers[0].size',
    ]);
  });

  it('are listed up to ten, and counted', () => {
    const body = { ...dockerManifest(), layers: Array.from({ length: 1000 }, () => ({})) };
    assert.throws(
      () => parseManifest(bytesOf(body), undefined),
      ({ detail }: { detail: { faults: unknown[]; count: number } }) => {
        assert.equal(detail.faults.length, 10);
        assert.equal(detail.count, 3000);
        return true;
      },
    );
  });

  it('say which algorithm or length of a digest is wrong', () => {
    assert.match(withDigest('blake3:aa').reason, /unsupported algorithm blake3/);
    assert.match(withDigest('sha256:aa').reason, /64 lower-case/);
  });

  it('say what embedded data has instead', () => {
    const [first] = imageManifest().layers;
    const withData = (data: string) =>
      refuse({ ...imageManifest(), layers: [{ ...first, data }] }, MEDIA_TYPES.imageManifest);
    assert.match(withData('YQ==').reason, /holds 1 bytes, the descriptor says 5/);
    assert.match(withData(Buffer.from('wrong').toString('base64')).reason, /other bytes/);
  });

  it('are sizes that are no integers to other parsers', () => {
    for (const written of ['1.0', '1e3', '0.0', '5E-0']) {
      const text = JSON.stringify(dockerManifest()).replace(/("layers":.*"size":)\d+/, `$1${written}`);
      const { places, reason } = refusalOf(() => parseManifest(Buffer.from(text), undefined));
      assert.deepEqual(places, ['layers[0].size']);
      assert.match(reason, /integer/);
    }
    const text = JSON.stringify(dockerManifest()).replace('"schemaVersion":2', '"schemaVersion":2.0');
    assert.deepEqual(refusalOf(() => parseManifest(Buffer.from(text), undefined)).places, ['schemaVersion']);
  });

  it('are the fields of other kinds in an artifact manifest, and a bad blob', () => {
    const wrong = { config: {}, layers: [], manifests: [], blobs: [{}], annotations: 1 };
    const { places } = refuse({ ...artifactManifest(), ...wrong }, MEDIA_TYPES.artifactManifest);
    assert.deepEqual(places.slice(0, 4), ['config', 'layers', 'manifests', 'blobs[0].mediaType']);
    assert.equal(places.at(-1), 'annotations');
  });

  it('never are anything but a refusal, whatever the bytes', () => {
    const whole = bytesOf(imageManifest());
    for (let length = 0; length < whole.length; length++) {
      refusalOf(() => parseManifest(whole.subarray(0, length), MEDIA_TYPES.imageManifest));
    }
  });
});
