import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { rowOfStored } from '../../registry/stored-manifest.ts';
import { digestOfText } from '../harness/registry.ts';

const digest = digestOfText('whatever');
const descriptor = (mediaType: string) => ({ mediaType, digest: digestOfText('{}'), size: 2 });

describe('manifests that another server took', () => {
  test('schema 1 keeps its media type and the blobs that it needs', () => {
    const layer = digestOfText('layer');
    const body = JSON.stringify({ schemaVersion: 1, fsLayers: [{ blobSum: layer }], history: [], signatures: [{}] });
    const row = rowOfStored(digest, Buffer.from(body));
    assert.equal(row?.mediaType, 'application/vnd.docker.distribution.manifest.v1+prettyjws');
    assert.deepEqual(row?.references, [{ kind: 'layer', digest: layer }]);
  });

  test('one that would be refused today is still a referrer of its subject', () => {
    const subject = digestOfText('subject');
    const body = {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor('application/vnd.example.config'),
      layers: [descriptor('text/plain; charset=utf-8')],
      subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: subject, size: 3 },
      annotations: { key: 'value' },
    };
    const row = rowOfStored(digest, Buffer.from(JSON.stringify(body)));
    assert.equal(row?.subject, subject);
    assert.equal(row?.artifactType, 'application/vnd.example.config');
    assert.deepEqual(row?.annotations, { key: 'value' });
    const typed = rowOfStored(
      digest,
      Buffer.from(JSON.stringify({ ...body, artifactType: 'application/vnd.example' })),
    );
    assert.equal(typed?.artifactType, 'application/vnd.example');
    const unusable = { ...body, subject: { ...body.subject, digest: 'sha256:abc' } };
    assert.equal(rowOfStored(digest, Buffer.from(JSON.stringify(unusable)))?.subject, undefined);
  });

  test('an index that does not say so is one all the same', () => {
    const manifests = [{ mediaType: 'no media type', digest: digestOfText('child'), size: 5 }];
    const row = rowOfStored(digest, Buffer.from(JSON.stringify({ schemaVersion: 2, manifests })));
    assert.equal(row?.mediaType, 'application/vnd.oci.image.index.v1+json');
    assert.equal(row?.artifactType, undefined);
  });

  test('a media type that no header can carry is not kept', () => {
    for (const mediaType of ['text/plain\r\nSet-Cookie: a=b', 'text/\u00fcml', 'a\u0000b', '', ' ', 'x'.repeat(300)]) {
      const row = rowOfStored(digest, Buffer.from(JSON.stringify({ mediaType })));
      assert.equal(row?.mediaType, 'application/vnd.oci.image.manifest.v1+json', JSON.stringify(mediaType));
    }
    const mediaType = 'application/x.a+json; charset="utf-8"';
    assert.equal(rowOfStored(digest, Buffer.from(JSON.stringify({ mediaType })))?.mediaType, mediaType);
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
