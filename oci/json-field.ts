import { placeBelow, type ManifestFaults } from './manifest-fault.ts';
import { isMediaType } from './media-types.ts';

/** An object as `parseStrictJson` makes it: own properties only. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads one value of a manifest: adds what is wrong with it to `faults`, and gives undefined then. */
export type FieldReader<T> = (value: unknown, place: string, faults: ManifestFaults) => T | undefined;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A field that may be left out. `null` is left out too: so Go writes a pointer or a map that was never set. */
export function readOptional<T>(
  object: JsonObject,
  field: string,
  parent: string,
  faults: ManifestFaults,
  read: FieldReader<T>,
): T | undefined {
  const value = object[field];
  return value === undefined || value === null ? undefined : read(value, placeBelow(parent, field), faults);
}

export function readString(value: unknown, place: string, faults: ManifestFaults): string | undefined {
  if (typeof value === 'string') return value;
  faults.add(place, 'must be a string');
  return undefined;
}

export function readMediaType(value: unknown, place: string, faults: ManifestFaults): string | undefined {
  if (typeof value === 'string' && isMediaType(value)) return value;
  faults.add(place, 'must be a media type, type/subtype without parameters (RFC 6838 section 4.2)');
  return undefined;
}

export function readStrings(value: unknown, place: string, faults: ManifestFaults): readonly string[] | undefined {
  if (!Array.isArray(value)) {
    faults.add(place, 'must be an array of strings');
    return undefined;
  }
  const strings: string[] = [];
  for (const [index, item] of value.entries()) {
    const text = readString(item, `${place}[${index}]`, faults);
    if (text !== undefined) strings.push(text);
  }
  return strings;
}

export function readStringMap(
  value: unknown,
  place: string,
  faults: ManifestFaults,
): Readonly<Record<string, string>> | undefined {
  if (!isJsonObject(value)) {
    faults.add(place, 'must be an object whose values are strings');
    return undefined;
  }
  if (isStringMap(value)) return value;
  for (const [key, item] of Object.entries(value)) readString(item, placeBelow(place, key), faults);
  return undefined;
}

function isStringMap(object: JsonObject): object is Readonly<Record<string, string>> {
  return Object.values(object).every((item) => typeof item === 'string');
}

/**
 * Refuses keys that differ from one of `fields` in upper and lower case only. JSON tells them apart, but Go's decoder
 * does not and takes the last: of `layers` and `Layers` the registry would keep the one and Go's clients fetch the
 * other.
 */
export function refuseMisspelt(
  object: JsonObject,
  fields: readonly string[],
  parent: string,
  faults: ManifestFaults,
): void {
  for (const key in object) {
    if (fields.includes(key)) continue;
    const folded = foldCase(key);
    const field = fields.find((name) => foldCase(name) === folded);
    if (field !== undefined) faults.add(placeBelow(parent, key), `reads like ${field}: write it exactly so`);
  }
}

/** As Go folds: the long s and the Kelvin sign count as s and k. */
function foldCase(text: string): string {
  return text.length > 100 ? text : text.toUpperCase().toLowerCase();
}
