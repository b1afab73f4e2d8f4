import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isMediaType, isNonDistributable, MEDIA_TYPES, mediaTypeOf } from '../../oci/media-types.ts';

describe('a media type', () => {
  it('has a type and a subtype by RFC 6838', () => {
    const taken = [
      'a/b',
      'text/plain',
      'application/x.y+z',
      '0/1',
      'a!#$&^_.+-/b',
      `a/${'b'.repeat(127)}`,
      `${'a'.repeat(127)}/b`,
    ];
    for (const text of [...taken, ...Object.values(MEDIA_TYPES)]) assert.equal(isMediaType(text), true, text);
  });

  it('is nothing else', () => {
    const refused = [
      '',
      'a',
      '/',
      'a/',
      '/b',
      'a/b/c',
      'a/b ',
      ' a/b',
      'a/b;c=d',
      '.a/b',
      'a/-b',
      'a/b\n',
      'a*/b',
      '*/*',
      'a/ä',
    ];
    for (const text of [...refused, `a/${'b'.repeat(128)}`, `${'a'.repeat(128)}/b`])
      assert.equal(isMediaType(text), false, text);
  });
});

describe('the type of a Content-Type header', () => {
  it('is what stands before its parameters', () => {
    for (const header of ['a/b', ' a/b ', 'a/b;c=d', 'a/b ; c="d;e"', '\ta/b;'])
      assert.equal(mediaTypeOf(header), 'a/b');
  });

  it('is undefined where there is none', () => {
    for (const header of [undefined, '', ' ', ';', ' ; charset=utf-8']) assert.equal(mediaTypeOf(header), undefined);
  });
});

describe('a layer that need not be pushed', () => {
  it('is told by its type', () => {
    for (const text of [
      'application/vnd.oci.image.layer.nondistributable.v1.tar',
      'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
      'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd',
      'application/vnd.docker.image.rootfs.foreign.diff.tar',
      'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
    ]) {
      assert.equal(isNonDistributable(text), true, text);
    }
  });

  it('is no other', () => {
    for (const text of [
      '',
      'application/vnd.oci.image.layer.v1.tar',
      'application/vnd.oci.image.layer.v1.tar+gzip',
      'application/vnd.docker.image.rootfs.diff.tar.gzip',
      'application/vnd.oci.image.layer.nondistributable.v1.tarball',
      'application/vnd.oci.image.layer.nondistributable.v1.tar+',
      'xapplication/vnd.docker.image.rootfs.foreign.diff.tar',
    ]) {
      assert.equal(isNonDistributable(text), false, text);
    }
  });
});
