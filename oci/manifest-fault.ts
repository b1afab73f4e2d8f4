import { RegistryError } from './errors.ts';

/** One thing that is wrong with a manifest. */
export interface ManifestFault {
  /** Where: `layers[3].digest`, `annotations["a.b"]`, `$` for the whole document, or `Content-Type`. */
  readonly place: string;
  /** What is wrong there and what to change. */
  readonly reason: string;
  /** Byte of the body at which it was noticed, for faults of the JSON itself. */
  readonly offset?: number;
  /** The media types that would have been taken. */
  readonly accepted?: readonly string[];
}

/** More than anybody reads at once; a hostile manifest could have a hundred thousand. */
const MAX_LISTED = 10;

/** A step from the document to a value in it: a key of an object, or an index of an array. */
export type Step = string | number;

const PLAIN_KEY = /^[A-Za-z_$][\w$]{0,99}$/;

/** `layers[3].digest` for `['layers', 3, 'digest']`; long keys are cut. */
export function placeOf(steps: readonly Step[]): string {
  const place = steps.map((step, index) => spell(step, index === 0)).join('');
  return place === '' ? '$' : place;
}

function spell(step: Step, isFirst: boolean): string {
  if (typeof step === 'number') return `[${step}]`;
  if (PLAIN_KEY.test(step)) return isFirst ? step : `.${step}`;
  return `[${JSON.stringify(step.slice(0, 100))}]`;
}

/** `annotations["a.b"]` for a value below `parent`. */
export function placeBelow(parent: string, step: Step): string {
  return parent === '$' ? placeOf([step]) : `${parent}${spell(step, false)}`;
}

/** The faults found so far: all of one manifest are reported at once. */
export class ManifestFaults {
  readonly #faults: ManifestFault[] = [];
  #count = 0;

  /** The first fault of a place is the one that is told. */
  add(place: string, reason: string): void {
    if (this.#faults.some((fault) => fault.place === place)) return;
    this.#count++;
    if (this.#faults.length < MAX_LISTED) this.#faults.push({ place, reason });
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** @throws RegistryError `MANIFEST_INVALID` when there is any */
  throwIfAny(): void {
    const [first] = this.#faults;
    if (first === undefined) return;
    const detail = this.#count === 1 ? first : { ...first, faults: this.#faults, count: this.#count };
    throw new RegistryError('MANIFEST_INVALID', { detail });
  }
}

export function manifestInvalid(fault: ManifestFault): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { detail: fault });
}
