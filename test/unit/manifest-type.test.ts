import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KNOWN_MANIFEST_TYPES } from '../../oci/manifest-type.ts';
import { parseManifest } from '../../oci/manifest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import {
  artifactManifest,
  bytesOf,
  dockerManifest,
  dockerManifestList,
  imageIndex,
  imageManifest,
} from './manifest-examples.ts';
import { refusalOf } from './manifest-refusal.ts';

const { imageManifest: IMAGE, imageIndex: INDEX } = MEDIA_TYPES;

const typeOf = (body: unknown, contentType?: string) => parseManifest(bytesOf(body), contentType).mediaType;
const refuse = (body: unknown, contentType?: string) => refusalOf(() => parseManifest(bytesOf(body), contentType));
const untyped = (body: object) => ({ ...body, mediaType: undefined });

describe('the media type of a manifest', () => {
  const examples = [imageManifest(), imageIndex(), dockerManifest(), dockerManifestList(), artifactManifest()];

  it('is that of the Content-Type and of the body', () => {
    assert.deepEqual(
      examples.map((body) => body.mediaType),
      [...KNOWN_MANIFEST_TYPES].sort(
        (a, b) => examples.findIndex((e) => e.mediaType === a) - examples.findIndex((e) => e.mediaType === b),
      ),
    );
    for (const body of examples) assert.equal(typeOf(body, body.mediaType), body.mediaType);
  });

  it('is that of the body when there is no Content-Type', () => {
    for (const body of examples) {
      for (const contentType of [undefined, '', ' ', ';charset=utf-8'])
        assert.equal(typeOf(body, contentType), body.mediaType);
    }
  });

  it('is that of the Content-Type when the body has none', () => {
    for (const body of examples) {
      for (const mediaType of [undefined, null, '']) {
        assert.equal(typeOf({ ...body, mediaType }, body.mediaType), body.mediaType);
      }
    }
  });

  it('is guessed from the fields when nobody says', () => {
    assert.equal(typeOf(untyped(imageManifest())), IMAGE);
    assert.equal(typeOf(untyped(dockerManifest())), IMAGE);
    assert.equal(typeOf(untyped(imageIndex())), INDEX);
  });

  it('does not depend on parameters, spaces and case of the Content-Type', () => {
    for (const contentType of [`${IMAGE}; charset=utf-8`, ` ${IMAGE} ;x`, IMAGE.toUpperCase()]) {
      assert.equal(typeOf(imageManifest(), contentType), IMAGE);
      assert.equal(typeOf(untyped(imageManifest()), contentType), IMAGE);
    }
    assert.equal(typeOf({ mediaType: 'Application/X.y' }, 'application/x.Y; z=1'), 'Application/X.y');
  });
});

describe('a type that cannot be', () => {
  it('is one that differs in Content-Type and body', () => {
    for (const contentType of [INDEX, MEDIA_TYPES.dockerManifest, 'application/json', 'application/vnd.example+json']) {
      const { place, reason } = refuse(imageManifest(), contentType);
      assert.equal(place, 'mediaType');
      assert.match(reason, /Content-Type says/);
      assert(reason.includes(IMAGE) && reason.includes(contentType));
    }
  });

  it('is an index said to be an image', () => {
    assert.deepEqual(refuse(untyped(imageIndex()), IMAGE).places, ['manifests', 'config', 'layers']);
    assert.deepEqual(refuse(untyped(imageManifest()), INDEX).places, ['config', 'layers', 'manifests']);
  });

  it('is none at all: what is accepted is listed', () => {
    for (const body of [{}, { schemaVersion: 2 }, { layers: [] }, { config: {} }, untyped(artifactManifest())]) {
      const refusal = refuse(body);
      assert.equal(refusal.place, 'Content-Type');
      assert.deepEqual(refusal.accepted, KNOWN_MANIFEST_TYPES);
    }
  });

  it('is one that says nothing', () => {
    const generic = ['application/json', 'Application/JSON; charset=utf-8', 'application/octet-stream', 'text/plain'];
    for (const contentType of [...generic, 'application/x-www-form-urlencoded']) {
      const refusal = refuse(untyped(imageManifest()), contentType);
      assert.equal(refusal.place, 'Content-Type');
      assert.deepEqual(refusal.accepted, KNOWN_MANIFEST_TYPES);
    }
    assert.equal(refuse({ mediaType: 'application/json' }, 'application/json').place, 'Content-Type');
  });

  it('is one outside the grammar', () => {
    for (const text of ['json', 'a/b/c', 'a/', '/b', 'a b/c', '-a/b', 'a/b,c/d', `a/${'b'.repeat(128)}`]) {
      assert.equal(refuse(imageManifest(), text).place, 'Content-Type');
      assert.equal(refuse({ ...imageManifest(), mediaType: text }).place, 'mediaType');
    }
    for (const mediaType of [1, [], {}, true])
      assert.equal(refuse({ ...imageManifest(), mediaType }).place, 'mediaType');
  });

  it('is a known one in another case: clients compare letter by letter', () => {
    for (const known of [...KNOWN_MANIFEST_TYPES, MEDIA_TYPES.dockerSchema1]) {
      const { place, reason } = refuse({ ...imageManifest(), mediaType: known.toUpperCase() });
      assert.equal(place, 'mediaType');
      assert(reason.includes(known));
    }
  });

  it('is a body that is no object', () => {
    for (const body of [[], null, 1, 'text', [imageManifest()]]) assert.equal(refuse(body, IMAGE).place, '$');
  });
});

describe('schema 1', () => {
  const schema1 = {
    schemaVersion: 1,
    name: 'library/old',
    tag: 'latest',
    fsLayers: [{ blobSum: 'sha256:00' }],
    history: [],
  };

  it('is refused with the advice to use a newer client', () => {
    const types = [undefined, MEDIA_TYPES.dockerSchema1, MEDIA_TYPES.dockerSchema1Signed, 'application/json', IMAGE];
    for (const contentType of types) assert.match(refuse(schema1, contentType).reason, /newer client/);
    for (const mediaType of [MEDIA_TYPES.dockerSchema1, MEDIA_TYPES.dockerSchema1Signed]) {
      assert.match(refuse({ ...imageManifest(), mediaType }).reason, /newer client/);
    }
  });

  it('is not what a manifest of another spec is that counts its own versions', () => {
    const mediaType = 'application/vnd.example.manifest.v1+json';
    assert.equal(typeOf({ schemaVersion: 1 }, mediaType), mediaType);
    assert.equal(typeOf({ schemaVersion: 1, mediaType, fsLayers: [] }), mediaType);
  });

  it('is refused inside another manifest', () => {
    for (const body of [imageManifest(), imageIndex(), dockerManifest(), dockerManifestList()]) {
      assert.match(refuse({ ...body, fsLayers: schema1.fsLayers }, body.mediaType).reason, /schema 1/);
      assert.match(refuse({ ...body, schemaVersion: 1 }, body.mediaType).reason, /schema 1/);
    }
  });
});
