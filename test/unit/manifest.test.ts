import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseManifest } from '../../oci/manifest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import {
  ARTIFACT_TYPE,
  artifactManifest,
  bytesOf,
  CONFIG_TYPE,
  descriptor,
  dockerManifest,
  dockerManifestList,
  EMPTY_TYPE,
  imageIndex,
  imageManifest,
  LAYER_TYPE,
} from './manifest-examples.ts';

/** Without the keys that are undefined. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

function parse(body: Readonly<Record<string, unknown>>) {
  return parseManifest(bytesOf(body), String(body['mediaType']));
}

describe('an image manifest', () => {
  it('gives its descriptors and what it says of itself', () => {
    const { config, layers, subject, annotations } = imageManifest();
    assert.deepEqual(plain(parse(imageManifest())), {
      mediaType: MEDIA_TYPES.imageManifest,
      kind: 'image',
      config,
      layers,
      manifests: [],
      subject,
      artifactType: ARTIFACT_TYPE,
      annotations,
    });
  });

  it('shows the type of its config as artifact type when it has none', () => {
    for (const artifactType of [undefined, null, '']) {
      assert.equal(parse({ ...imageManifest(), artifactType }).artifactType, CONFIG_TYPE);
    }
  });

  it('may have no layers, and a client written in Go may say null for that', () => {
    for (const layers of [[], null]) {
      const body = { schemaVersion: 2, mediaType: MEDIA_TYPES.imageManifest, config: imageManifest().config, layers };
      assert.deepEqual(parse(body).layers, []);
    }
  });

  it('may have null for every optional field', () => {
    const { schemaVersion, mediaType } = imageManifest();
    const optional = { artifactType: null, annotations: null, urls: null, platform: null, data: null };
    const config = { ...descriptor(CONFIG_TYPE, 'config'), ...optional };
    const manifests = null;
    const body = { schemaVersion, mediaType, config, layers: [config], manifests, ...optional, subject: null };
    const manifest = parse(body);
    assert.deepEqual(plain(manifest.layers), [descriptor(CONFIG_TYPE, 'config')]);
    assert.equal(manifest.subject, undefined);
    assert.equal(manifest.annotations, undefined);
  });

  it('may have an empty config without artifact type: the field takes it', () => {
    const config = descriptor(EMPTY_TYPE, '{}');
    assert.equal(parse({ ...dockerManifest(), mediaType: MEDIA_TYPES.imageManifest, config }).artifactType, EMPTY_TYPE);
  });

  it('may have fields that nobody knows, everywhere', () => {
    const extra = { 'org.example.unknown': [{ deep: [1.5, null, { size: 1e3 }] }], size: 0.5 };
    const { config, layers } = imageManifest();
    const body = { ...imageManifest(), ...extra, config: { ...config, ...extra, size: config.size }, layers };
    assert.deepEqual(plain(parse(body)), plain(parse(imageManifest())));
  });

  it('may have layers of any type, empty ones, and one digest several times', () => {
    const layers = [
      descriptor('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', 'foreign'),
      descriptor(LAYER_TYPE, ''),
      descriptor(LAYER_TYPE, ''),
      { ...descriptor(LAYER_TYPE, ''), data: '' },
      { mediaType: 'text/spdx+json', digest: `sha512:${'a'.repeat(128)}`, size: Number.MAX_SAFE_INTEGER },
    ];
    assert.deepEqual(plain(parse({ ...imageManifest(), layers }).layers), layers);
  });

  it('has a size of 0 for -0', () => {
    const text = JSON.stringify(dockerManifest()).replace(/"size":\d+/, '"size":-0');
    assert.equal(Object.is(parseManifest(Buffer.from(text), undefined).config?.size, 0), true);
  });

  it('keeps an annotation called __proto__ where it is', () => {
    const text = JSON.stringify(dockerManifest()).replace(/\}$/, ',"annotations":{"__proto__":"x"}}');
    const { annotations } = parseManifest(Buffer.from(text), undefined);
    assert(annotations !== undefined);
    assert.deepEqual(Object.entries(annotations), [['__proto__', 'x']]);
  });
});

describe('an image index', () => {
  it('gives its children and what it says of itself', () => {
    const { manifests, subject, annotations } = imageIndex();
    assert.deepEqual(plain(parse(imageIndex())), {
      mediaType: MEDIA_TYPES.imageIndex,
      kind: 'index',
      layers: [],
      manifests,
      subject,
      artifactType: ARTIFACT_TYPE,
      annotations,
    });
  });

  it('has no artifact type but its own', () => {
    for (const artifactType of [undefined, null, '']) {
      assert.equal(parse({ ...imageIndex(), artifactType }).artifactType, undefined);
    }
  });

  it('may be empty', () => {
    for (const manifests of [[], null]) assert.deepEqual(parse({ ...imageIndex(), manifests }).manifests, []);
  });

  it('may have children without platform, with an odd one, and of unknown types', () => {
    const child = descriptor(MEDIA_TYPES.imageManifest, 'child');
    const manifests = [
      { ...child, platform: {} },
      { ...child, platform: { architecture: 'unknown', os: 'unknown', unknown: 1 } },
      descriptor('application/vnd.example+json', 'x'),
    ];
    assert.equal(parse({ ...imageIndex(), manifests }).manifests.length, 3);
  });
});

describe('the Docker manifests', () => {
  it('are an image and an index', () => {
    const image = parse(dockerManifest());
    assert.equal(image.kind, 'image');
    assert.equal(image.mediaType, MEDIA_TYPES.dockerManifest);
    assert.deepEqual(plain([image.config, image.layers]), [dockerManifest().config, dockerManifest().layers]);
    assert.equal(image.artifactType, 'application/vnd.docker.container.image.v1+json');
    const list = parse(dockerManifestList());
    assert.equal(list.kind, 'index');
    assert.deepEqual(plain(list.manifests), dockerManifestList().manifests);
  });
});

describe('an artifact manifest of OCI 1.1-rc', () => {
  it('has its blobs as layers', () => {
    const { blobs, subject, annotations } = artifactManifest();
    assert.deepEqual(plain(parse(artifactManifest())), {
      mediaType: MEDIA_TYPES.artifactManifest,
      kind: 'other',
      layers: blobs,
      manifests: [],
      subject,
      artifactType: ARTIFACT_TYPE,
      annotations,
    });
  });

  it('may have no blobs', () => {
    assert.deepEqual(parse({ ...artifactManifest(), blobs: undefined }).layers, []);
  });
});

describe('a manifest of an unknown type', () => {
  const mediaType = 'application/vnd.example.manifest.v7+json';

  it('is followed where it has descriptors', () => {
    const { config, layers, subject } = imageManifest();
    const { manifests } = imageIndex();
    const [blob] = artifactManifest().blobs;
    const body = { config, layers, manifests, subject, blobs: [blob], artifactType: ARTIFACT_TYPE };
    assert.deepEqual(plain(parseManifest(bytesOf(body), mediaType)), {
      mediaType,
      kind: 'other',
      config,
      layers: [...layers, blob],
      manifests,
      subject,
      artifactType: ARTIFACT_TYPE,
    });
  });

  it('may mean something else by the same words', () => {
    const [layer] = imageManifest().layers;
    const bad = { ...layer, size: '5' };
    const misspelt = { ...layer, Size: 5 };
    const body = {
      schemaVersion: 'seven',
      config: 'default',
      layers: [1, layer, null, bad, misspelt],
      manifests: { a: 1 },
      subject: 'mathematics',
      artifactType: 7,
      annotations: [],
    };
    const manifest = parseManifest(bytesOf(body), mediaType);
    assert.deepEqual(plain(manifest), { mediaType, kind: 'other', layers: [layer], manifests: [] });
  });

  it('is nothing but an object', () => {
    assert.equal(parseManifest(Buffer.from('{}'), mediaType).kind, 'other');
  });
});
