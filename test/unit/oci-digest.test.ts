import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  algorithmOf,
  digestOf,
  hexOf,
  isDigest,
  isDigestAlgorithm,
  parseDigest,
  parseDigestAlgorithm,
} from '../../oci/digest.ts';
import { isJsonObject } from '../../oci/json-field.ts';
import { RegistryError } from '../../oci/errors.ts';

const SHA256 = `sha256:${'0123456789abcdef'.repeat(4)}`;
const SHA512 = `sha512:${'0123456789abcdef'.repeat(8)}`;

/** The reason with which `run` is refused as `DIGEST_INVALID`. */
function reasonOf(run: () => unknown): string {
  let reason = '';
  assert.throws(run, (error) => {
    assert(error instanceof RegistryError && isJsonObject(error.detail));
    assert.deepEqual([error.code, error.status], ['DIGEST_INVALID', 400]);
    reason = String(error.detail['reason']);
    assert(JSON.stringify(error.detail).length < 2000);
    return true;
  });
  return reason;
}

describe('a digest', () => {
  it('is taken apart and put together', () => {
    for (const text of [SHA256, SHA512]) {
      const digest = parseDigest(text);
      assert.equal(digest, text);
      assert.equal(`${algorithmOf(digest)}:${hexOf(digest)}`, text);
      assert.equal(digestOf(algorithmOf(digest), hexOf(digest)), text);
    }
  });

  const refused: readonly (readonly [text: string, reason: RegExp])[] = [
    ['', /not a digest/],
    ['latest', /not a digest/],
    [':', /not a digest/],
    ['sha256:', /not a digest/],
    ['sha256:../../etc', /not a digest/],
    [`sha256::${SHA256.slice(7)}`, /not a digest/],
    [SHA256.toUpperCase(), /not a digest/],
    [`${SHA256}\n`, /not a digest/],
    [`${SHA256}\0`, /not a digest/],
    [`sha256%3A${SHA256.slice(7)}`, /not a digest/],
    [`sha256:${SHA256.slice(7).toUpperCase()}`, /64 lower-case/],
    [SHA256.slice(0, -1), /64 lower-case/],
    [`${SHA256}0`, /64 lower-case/],
    [`sha512:${SHA256.slice(7)}`, /128 lower-case/],
    [`sha256:${'g'.repeat(64)}`, /64 lower-case/],
    [`md5:${'a'.repeat(32)}`, /unsupported algorithm md5: use sha256 or sha512/],
    ['sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564', /unsupported algorithm/],
    ['constructor:aa', /unsupported algorithm constructor/],
    [`${'a'.repeat(100_000)}:aa`, /unsupported algorithm a{40}:/],
    ['a+'.repeat(50_000), /not a digest/],
  ];
  for (const [text, reason] of refused) {
    it(`is not ${JSON.stringify(text.slice(0, 80))}`, () => {
      assert.equal(isDigest(text), false);
      assert.match(
        reasonOf(() => parseDigest(text)),
        reason,
      );
    });
  }
});

describe('a digest algorithm', () => {
  it('is one of two', () => {
    for (const algorithm of ['sha256', 'sha512']) assert.equal(parseDigestAlgorithm(algorithm), algorithm);
    for (const text of ['', 'SHA256', 'sha384', 'sha256 ', '__proto__', 'toString']) {
      assert.equal(isDigestAlgorithm(text), false);
      assert.match(
        reasonOf(() => parseDigestAlgorithm(text)),
        /sha256 or sha512/,
      );
    }
  });
});
