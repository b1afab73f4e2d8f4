import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RegistryError, type ErrorCode } from '../../oci/errors.ts';
import { isJsonObject } from '../../oci/json-field.ts';
import {
  isRepositoryName,
  isTag,
  isUploadId,
  parseReference,
  parseRepositoryName,
  parseTag,
  parseUploadId,
} from '../../oci/names.ts';

/** The reason with which `run` is refused under `code`, in a detail of bounded length. */
function reasonOf(code: ErrorCode, run: () => unknown): string {
  let reason = '';
  assert.throws(run, (error) => {
    assert(error instanceof RegistryError && isJsonObject(error.detail));
    assert.equal(error.code, code);
    assert(JSON.stringify(error.detail).length < 2000);
    reason = String(error.detail['reason']);
    return true;
  });
  return reason;
}

describe('a repository name', () => {
  const taken = [
    'a',
    '0',
    'library/busybox',
    'a.b',
    'a_b',
    'a__b',
    'a-b',
    'a---b',
    'a/b/c/d/e',
    'a'.repeat(255),
    '0.1-2__3/x',
  ];
  for (const name of taken) {
    it(`may be ${name.slice(0, 40)}`, () => {
      assert.equal(isRepositoryName(name), true);
      assert.equal(parseRepositoryName(name), name);
    });
  }

  const refused = [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '.',
    '..',
    'a/..',
    '../a',
    'a/./b',
    '.a',
    'a.',
    'a..b',
    'a._b',
    '_a',
    'a_',
    'a___b',
    '-a',
    'a-',
    'a.-b',
    'A',
    'aB',
    'a b',
    'a\n',
    'a\0',
    'a%2Fb',
    'a\\b',
    'a:b',
    'a@b',
    'ä',
    '\u212A',
    'a/_manifests',
    'a/_layers/b',
  ];
  for (const name of refused) {
    it(`may not be ${JSON.stringify(name)}`, () => {
      assert.equal(isRepositoryName(name), false);
      assert.match(
        reasonOf('NAME_INVALID', () => parseRepositoryName(name)),
        /lower-case letters/,
      );
    });
  }

  it('is measured before it is looked at', () => {
    for (const name of ['a'.repeat(256), 'a-'.repeat(50_000), `${'a/'.repeat(50_000)}A`, '-'.repeat(100_000)]) {
      const expected = `at most 255 characters, this one has ${name.length}`;
      assert(reasonOf('NAME_INVALID', () => parseRepositoryName(name)).includes(expected));
    }
  });
});

describe('a tag', () => {
  for (const tag of ['latest', '_', 'A', '0', '1.0', 'v1.0-rc_1', 'a..b', 'a-', 'x'.repeat(128)]) {
    it(`may be ${tag.slice(0, 40)}`, () => assert.equal(parseTag(tag), tag));
  }
  for (const tag of ['', '.', '..', '.a', '-a', 'a b', 'a/b', 'a+b', 'a:b', 'a\n', 'ä', 'a%20']) {
    it(`may not be ${JSON.stringify(tag)}`, () => {
      assert.equal(isTag(tag), false);
      assert.match(
        reasonOf('MANIFEST_INVALID', () => parseTag(tag)),
        /letters, digits/,
      );
    });
  }
  it('has at most 128 characters', () => {
    assert.match(
      reasonOf('MANIFEST_INVALID', () => parseTag('x'.repeat(129))),
      /at most 128 .* has 129/,
    );
  });
});

describe('a reference', () => {
  const digest = `sha256:${'a'.repeat(64)}`;

  it('is a digest or a tag', () => {
    assert.deepEqual(parseReference(digest), { digest });
    assert.deepEqual(parseReference('v1'), { tag: 'v1' });
    assert.deepEqual(parseReference(`sha256-${'a'.repeat(64)}`), { tag: `sha256-${'a'.repeat(64)}` });
  });

  it('is judged as a digest as soon as it has a colon', () => {
    assert.match(
      reasonOf('DIGEST_INVALID', () => parseReference('sha256:aa')),
      /64 lower-case/,
    );
    assert.match(
      reasonOf('DIGEST_INVALID', () => parseReference('a:b')),
      /unsupported algorithm/,
    );
    assert.match(
      reasonOf('MANIFEST_INVALID', () => parseReference('a b')),
      /letters, digits/,
    );
  });
});

describe('an upload id', () => {
  const id = '0e37df4b-9b8f-4c1e-8f3a-0123456789ab';

  it('is a UUID in lower case', () => assert.equal(parseUploadId(id), id));

  it('is nothing else', () => {
    for (const text of ['', id.toUpperCase(), `${id}0`, id.replaceAll('-', ''), '../x', `${id}/..`, `${id}\n`]) {
      assert.equal(isUploadId(text), false);
      assert.match(
        reasonOf('BLOB_UPLOAD_UNKNOWN', () => parseUploadId(text)),
        /Location/,
      );
    }
  });
});
