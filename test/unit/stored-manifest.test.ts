import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rowOfStored } from '../../registry/stored-manifest.ts';
import { digestOfText } from '../harness/registry.ts';

const digest = digestOfText('whatever');

describe('manifests that another server took', () => {
  test('schema 1 keeps its media type and the blobs that it needs', () => {
    const layer = digestOfText('layer');
    const body = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: layer }], history: [], signatures: [{}] });
    const row = rowOfStored(digest, Buffer.from(body));
    assert.equal(row?.mediaType, 'application/vnd.docker.distribution.manifest.v1+prettyjws');
    assert.deepEqual(row?.references, [{ kind: 'layer', digest: layer }]);
  });

  test('what is no JSON object is no manifest', () => {
    for (const body of ['', 'layer data', '[]', '"text"', 'null']) {
      assert.equal(rowOfStored(digest, Buffer.from(body)), undefined, body);
    }
  });

  test('a document nested beyond every limit is still read', () => {
    const depth = 200_000;
    const needed = digestOfText('deep');
    const body = `{"a":${'['.repeat(depth)}"${needed}"${']'.repeat(depth)}}`;
    assert.deepEqual(rowOfStored(digest, Buffer.from(body))?.references, [{ kind: 'layer', digest: needed }]);
  });
});
