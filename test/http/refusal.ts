import assert from 'node:assert/strict';
import { ERROR_CODES, type ErrorCode } from '../../oci/errors.ts';
import type { Answer } from './client.ts';

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly detail: Readonly<Record<string, unknown>> & { readonly reason: string };
}

/**
 * Holds an answer to what the spec and we promise of every refusal: the status, the JSON form with one of the spec's
 * codes, and a reason that a person can act on.
 */
export function assertRefused(
  answer: Answer,
  status: number,
  code: ErrorCode,
  reason?: RegExp,
  message: string = ERROR_CODES[code].message,
): Refusal {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.header('Content-Type'), 'application/json');
  assert.equal(Number(answer.header('Content-Length')), answer.bytes.length);
  const body = answer.json() as { errors: Refusal[] };
  assert.deepEqual(Object.keys(body), ['errors']);
  const [error] = body.errors;
  assert.ok(error !== undefined && body.errors.length === 1, answer.text);
  assert.equal(error.code, code, answer.text);
  assert.equal(error.message, message);
  assert.ok(typeof error.detail?.reason === 'string' && error.detail.reason.length > 5, `no reason: ${answer.text}`);
  if (reason !== undefined) assert.match(error.detail.reason, reason);
  return error;
}

/** The same for what has no room in a quota: most clients show the message and nothing else. */
export function assertNoRoom(answer: Answer, reason: RegExp): Refusal {
  const { message, detail } = (answer.json() as { errors: [Refusal] }).errors[0];
  assert.equal(message, detail.reason);
  return assertRefused(answer, 403, 'DENIED', reason, message);
}

/** The same while the registry is read-only: somebody who pushes wants to know that it is for now. */
export function assertReadOnlyNow(answer: Answer): Refusal {
  const { message, detail } = (answer.json() as { errors: [Refusal] }).errors[0];
  assert.equal(message, detail.reason);
  return assertRefused(answer, 405, 'UNSUPPORTED', /read-only for now/, message);
}

/** The same for HEAD, whose answers have no body. */
export function assertHeadRefused(answer: Answer, status: number): void {
  assert.equal(answer.status, status);
  assert.equal(answer.bytes.length, 0);
  assert.ok(Number(answer.header('Content-Length')) > 0);
}
