import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseDigest } from '../../oci/digest.ts';
import { parseManifest } from '../../oci/manifest.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { parseReferrersTag, referrerDescriptor, referrersTagOf } from '../../oci/referrer.ts';
import { ARTIFACT_TYPE, bytesOf, CONFIG_TYPE, imageIndex, imageManifest } from './manifest-examples.ts';

const HEX = '0123456789abcdef'.repeat(4);
const SHA256 = parseDigest(`sha256:${HEX}`);
const SHA512 = parseDigest(`sha512:${HEX}${'f'.repeat(64)}`);

describe('the referrers tag', () => {
  it('cuts the encoded part to 64 characters', () => {
    assert.equal(referrersTagOf(SHA256), `sha256-${HEX}`);
    assert.equal(referrersTagOf(SHA512), `sha512-${HEX}`);
  });

  it('is read again', () => {
    assert.deepEqual(parseReferrersTag(referrersTagOf(SHA256)), { algorithm: 'sha256', encodedPrefix: HEX });
    assert.deepEqual(parseReferrersTag(referrersTagOf(SHA512)), { algorithm: 'sha512', encodedPrefix: HEX });
  });

  it('is no other tag', () => {
    for (const tag of [
      '',
      'latest',
      `sha256-${HEX}.sig`,
      `sha256-${HEX}0`,
      `sha256-${HEX.slice(1)}`,
      `sha256-${HEX.toUpperCase()}`,
      `md5-${HEX}`,
      `sha256:${HEX}`,
      `xsha256-${HEX}`,
      `sha256-${HEX}\n`,
      `toString-${HEX}`,
    ]) {
      assert.equal(parseReferrersTag(tag), undefined, tag);
    }
  });
});

describe('the descriptor of a referrer', () => {
  const digest = SHA256;

  it('has the artifact type and the annotations of the manifest', () => {
    const { annotations } = imageManifest();
    assert.deepEqual(referrerDescriptor(parseManifest(bytesOf(imageManifest()), undefined), digest, 5), {
      mediaType: MEDIA_TYPES.imageManifest,
      digest,
      size: 5,
      artifactType: ARTIFACT_TYPE,
      annotations,
    });
  });

  it('has the type of the config where an image has no artifact type', () => {
    const image = parseManifest(bytesOf({ ...imageManifest(), artifactType: '' }), undefined);
    assert.equal(referrerDescriptor(image, digest, 5).artifactType, CONFIG_TYPE);
  });

  it('has no field for what an index does not say', () => {
    const index = parseManifest(
      bytesOf({ ...imageIndex(), artifactType: undefined, annotations: undefined }),
      undefined,
    );
    assert.deepEqual(Object.keys(referrerDescriptor(index, digest, 5)), ['mediaType', 'digest', 'size']);
  });
});
