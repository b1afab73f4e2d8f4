import assert from 'node:assert/strict';
import { isJsonObject } from '../../oci/json-field.ts';
import { RegistryError } from '../../oci/errors.ts';

/** What a client reads of a refused manifest. */
export interface Refusal {
  readonly place: string;
  readonly reason: string;
  readonly offset: number | undefined;
  readonly accepted: readonly string[];
  /** Of all faults, in the order in which they were found. */
  readonly places: readonly string[];
}

/** Runs what must be refused as `MANIFEST_INVALID` with 400 and a detail that goes through JSON, and gives the detail. */
export function refusalOf(run: () => unknown): Refusal {
  const error = thrownBy(run);
  assert(error instanceof RegistryError, `threw ${String(error)}`);
  assert.equal(error.code, 'MANIFEST_INVALID');
  assert.equal(error.status, 400);
  const detail: unknown = JSON.parse(JSON.stringify(error.detail));
  assert(isJsonObject(detail));
  const { place, reason, offset, accepted, faults } = detail;
  assert(typeof place === 'string' && place !== '');
  assert(typeof reason === 'string' && reason !== '');
  assert(offset === undefined || typeof offset === 'number');
  const listed = Array.isArray(faults) ? faults : [detail];
  return {
    place,
    reason,
    offset,
    accepted: Array.isArray(accepted) ? accepted.map(String) : [],
    places: listed.map((fault: { place: string }) => fault.place),
  };
}

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return assert.fail('was not refused');
}
