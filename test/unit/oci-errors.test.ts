import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ERROR_CODES, RegistryError } from '../../oci/errors.ts';

/** distribution-spec, "Error Codes", code-1 to code-14. */
const SPEC_CODES = [
  'BLOB_UNKNOWN',
  'BLOB_UPLOAD_INVALID',
  'BLOB_UPLOAD_UNKNOWN',
  'DIGEST_INVALID',
  'MANIFEST_BLOB_UNKNOWN',
  'MANIFEST_INVALID',
  'MANIFEST_UNKNOWN',
  'NAME_INVALID',
  'NAME_UNKNOWN',
  'SIZE_INVALID',
  'UNAUTHORIZED',
  'DENIED',
  'UNSUPPORTED',
  'TOOMANYREQUESTS',
];

describe('the error codes', () => {
  it('for 4xx are those of the spec, all fourteen', () => {
    const ours = Object.entries(ERROR_CODES).filter(([, { status }]) => status < 500);
    assert.deepEqual(ours.map(([code]) => code).sort(), SPEC_CODES.toSorted());
    for (const [, { status, message }] of ours) assert(status >= 400 && message.length > 0);
  });
});

describe('a registry error', () => {
  it('has the status and the message of its code', () => {
    const error = new RegistryError('MANIFEST_UNKNOWN');
    assert(error instanceof Error);
    assert.deepEqual(
      [error.code, error.status, error.message, error.name],
      ['MANIFEST_UNKNOWN', 404, 'manifest unknown to registry', 'RegistryError'],
    );
    assert.deepEqual([error.detail, error.headers, error.cause], [undefined, {}, undefined]);
  });

  it('takes another status, headers and a detail, and keeps the cause out of what the client reads', () => {
    const cause = new Error('EIO on /secret');
    const error = new RegistryError('SIZE_INVALID', {
      status: 413,
      headers: { 'Retry-After': '1' },
      detail: { a: 1 },
      cause,
    });
    assert.deepEqual(
      [error.status, error.headers, error.detail, error.cause],
      [413, { 'Retry-After': '1' }, { a: 1 }, cause],
    );
    assert(!JSON.stringify([error.message, error.detail, error.headers]).includes('secret'));
  });
});
