import { createHash } from 'node:crypto';
import { algorithmOf, hexOf, isDigest, parseDigest, type Digest } from './digest.ts';
import { RegistryError } from './errors.ts';
import { isJsonObject, readMediaType, readOptional, readStringMap, readStrings, refuseMisspelt } from './json-field.ts';
import type { JsonObject } from './json-field.ts';
import { placeBelow, type ManifestFaults } from './manifest-fault.ts';
import { readPlatform, type Platform } from './platform.ts';

/** What a manifest says of something that it refers to (image-spec, descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly urls?: readonly string[] | undefined;
  readonly platform?: Platform | undefined;
  /** The content itself in base64; it has the size and the digest above. */
  readonly data?: string | undefined;
}

const FIELDS = ['mediaType', 'digest', 'size', 'artifactType', 'annotations', 'urls', 'platform', 'data'] as const;

/** Reads one descriptor and adds what is wrong with it to `faults`; undefined when it cannot be used at all. */
export function readDescriptor(value: unknown, place: string, faults: ManifestFaults): Descriptor | undefined {
  if (!isJsonObject(value)) {
    faults.add(place, 'must be a descriptor: an object with mediaType, digest and size');
    return undefined;
  }
  refuseMisspelt(value, FIELDS, place, faults);
  const mediaType = readMediaType(value['mediaType'], placeBelow(place, 'mediaType'), faults);
  const digest = readDigest(value['digest'], placeBelow(place, 'digest'), faults);
  const size = readSize(value['size'], placeBelow(place, 'size'), faults);
  const optional = readOptionalFields(value, place, faults);
  if (mediaType === undefined || digest === undefined || size === undefined) return undefined;
  if (optional.data !== undefined) checkData(optional.data, digest, size, placeBelow(place, 'data'), faults);
  return { mediaType, digest, size, ...optional };
}

/** Reads an array of descriptors; `null` is an empty one, as Go writes a slice that was never filled. */
export function readDescriptors(value: unknown, place: string, faults: ManifestFaults): readonly Descriptor[] {
  if (value === null) return [];
  if (!Array.isArray(value)) {
    const fault = value === undefined ? 'is missing: add it, empty if there is nothing to list' : 'must be an array';
    faults.add(place, fault);
    return [];
  }
  const descriptors: Descriptor[] = [];
  for (const [index, item] of value.entries()) {
    const descriptor = readDescriptor(item, `${place}[${index}]`, faults);
    if (descriptor !== undefined) descriptors.push(descriptor);
  }
  return descriptors;
}

type OptionalFields = Omit<Descriptor, 'mediaType' | 'digest' | 'size'>;

const NO_OPTIONAL_FIELDS: OptionalFields = {};

function readOptionalFields(value: JsonObject, parent: string, faults: ManifestFaults): OptionalFields {
  const read = <T>(field: string, reader: (value: unknown, place: string, faults: ManifestFaults) => T | undefined) =>
    readOptional(value, field, parent, faults, reader);
  const fields = {
    artifactType: value['artifactType'] === '' ? undefined : read('artifactType', readMediaType),
    annotations: read('annotations', readStringMap),
    urls: read('urls', readStrings),
    platform: read('platform', readPlatform),
    data: read('data', readBase64),
  };
  return Object.values(fields).every((field) => field === undefined) ? NO_OPTIONAL_FIELDS : fields;
}

function readDigest(value: unknown, place: string, faults: ManifestFaults): Digest | undefined {
  if (typeof value !== 'string') {
    faults.add(place, 'must be a digest, for example "sha256:<64 hex digits>"');
    return undefined;
  }
  if (isDigest(value)) return value;
  faults.add(place, reasonAgainst(value));
  return undefined;
}

/** The words of `parseDigest`, told of the place in the manifest instead of the request. */
function reasonAgainst(text: string): string {
  try {
    return parseDigest(text);
  } catch (error) {
    if (error instanceof RegistryError && isJsonObject(error.detail)) return String(error.detail['reason']);
    throw error;
  }
}

function readSize(value: unknown, place: string, faults: ManifestFaults): number | undefined {
  // `-0` is a way to write 0; adding 0 takes its sign away.
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value + 0;
  faults.add(place, `must be the number of bytes, a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`);
  return undefined;
}

function readBase64(value: unknown, place: string, faults: ManifestFaults): string | undefined {
  // Node's decoder skips what is no base64; only what was all base64, padding included, comes back the same.
  if (typeof value === 'string' && Buffer.from(value, 'base64').toString('base64') === value) return value;
  faults.add(place, 'must be base64 with padding (RFC 4648 section 4)');
  return undefined;
}

function checkData(data: string, digest: Digest, size: number, place: string, faults: ManifestFaults): void {
  const bytes = Buffer.from(data, 'base64');
  if (bytes.length !== size) {
    faults.add(place, `holds ${bytes.length} bytes, the descriptor says ${size}`);
  } else if (createHash(algorithmOf(digest)).update(bytes).digest('hex') !== hexOf(digest)) {
    faults.add(place, 'holds other bytes than the descriptor names by its digest');
  }
}
