import type { ByteRange } from '../../storage/blobs/driver.ts';

// More is an attack on the server, not a use of the content: podman's partial pulls ask for some dozens.
const MAX_RANGES = 1024;

/**
 * What a `Range` header asks of `size` bytes (RFC 9110 section 14.2).
 *
 * @returns the ranges in the order of the request; `whole` when the header is absent, in another unit or malformed (it
 *   is to be ignored then); `unsatisfiable` when none of it lies within the content, or it asks for too much
 */
export function parseRange(header: string | undefined, size: number): readonly ByteRange[] | 'whole' | 'unsatisfiable' {
  const specs = header === undefined ? undefined : /^bytes=([\d\s,-]+)$/i.exec(header.trim())?.[1]?.split(',');
  if (specs === undefined) return 'whole';
  if (specs.length > MAX_RANGES) return 'unsatisfiable';
  const ranges: ByteRange[] = [];
  for (const spec of specs) {
    const range = parseSpec(spec.trim(), size);
    if (range === 'malformed') return 'whole';
    if (range !== undefined) ranges.push(range);
  }
  if (ranges.length === 0) return 'unsatisfiable';
  return isExcessive(ranges, size) ? 'unsatisfiable' : ranges;
}

/** Undefined for a range that lies behind the end. */
function parseSpec(spec: string, size: number): ByteRange | 'malformed' | undefined {
  const match = /^(\d*)-(\d*)$/.exec(spec);
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) return 'malformed';
  if (first === '') {
    const suffix = Math.min(Number(last), size);
    return suffix === 0 ? undefined : { start: size - suffix, end: size - 1 };
  }
  const start = Number(first);
  const end = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < start) return 'malformed';
  return start >= size ? undefined : { start, end };
}

/** Overlapping ranges that add up to more than the content (RFC 9110 section 14.2, "many small or overlapping"). */
function isExcessive(ranges: readonly ByteRange[], size: number): boolean {
  if (ranges.length < 2) return false;
  return ranges.reduce((sum, { start, end }) => sum + end - start + 1, 0) > size;
}

/**
 * `Content-Range` of a chunk in the spec's form, `<start>-<end>`; the form of RFC 9110, `bytes <start>-<end>/<size>`, is
 * taken as well.
 *
 * @returns undefined when it has neither form
 */
export function parseContentRange(header: string): ByteRange | undefined {
  const match = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,15}|\*))?$/.exec(header.trim());
  if (match === null) return undefined;
  const [start, end] = [Number(match[1]), Number(match[2])];
  return end < start ? undefined : { start, end };
}
