import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { isJsonObject } from '../../oci/json-field.ts';
import { parseStrictJson } from '../../oci/strict-json.ts';
import { refusalOf } from '../unit/manifest-refusal.ts';

const LIMITS = { depth: 64, elements: 100_000 };

/** `JSON.parse` on what the bytes say, or what it threw. */
function oracle(bytes: Uint8Array): { value: unknown } | { refused: true } {
  try {
    return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)) as unknown };
  } catch {
    return { refused: true };
  }
}

/** The same value in one of the many ways to write it. */
function spelt(value: unknown, choose: () => number): string {
  const space = () => [' ', '', '\n', '\t\r', ''][choose() % 5] ?? '';
  if (typeof value === 'string') return speltString(value, choose);
  if (Array.isArray(value)) return `[${value.map((item) => `${space()}${spelt(item, choose)}${space()}`).join()}]`;
  if (!isJsonObject(value)) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, item]) => `${space()}${speltString(key, choose)}${space()}:${space()}${spelt(item, choose)}`,
  );
  return `{${members.join()}${space()}}`;
}

function speltString(text: string, choose: () => number): string {
  const units = Array.from({ length: text.length }, (_, at) => {
    if (choose() % 3 === 0) return `\\u${text.charCodeAt(at).toString(16).padStart(4, '0')}`;
    // A lone half of a surrogate pair cannot be written but as an escape, so neither half is split off.
    const isHalf = /[\uD800-\uDFFF]/.test(text.charAt(at));
    return isHalf ? `\\u${text.charCodeAt(at).toString(16)}` : JSON.stringify(text.charAt(at)).slice(1, -1);
  });
  return `"${units.join('')}"`;
}

const seeds = fc.infiniteStream(fc.nat({ max: 1000 }));

const texts: fc.Arbitrary<string> = fc
  .tuple(fc.jsonValue({ stringUnit: 'binary' }), seeds)
  .map(([value, seed]) => spelt(value, () => seed.next().value));

describe('strict JSON and JSON.parse', () => {
  it('agree on every valid text without duplicate keys', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const bytes = Buffer.from(text);
        assert.deepEqual({ value: parseStrictJson(bytes, LIMITS) }, oracle(bytes));
      }),
      { numRuns: 500 },
    );
  });

  const fragments = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '"a"',
    '"b":',
    '\\',
    '\\u0061',
    '\\ud800',
    '0',
    '-',
    '1.5',
    'e+',
    '1e5',
    '00',
    'true',
    'false',
    'null',
    'nul',
    ' ',
    '\n',
    '\u00a0',
    '\u2028',
    '\uFEFF',
    '\u0000',
    '/**/',
    'NaN',
    'Infinity',
    "'",
    '\u{1F40B}',
  );
  const soup = fc.array(fragments, { maxLength: 12 }).map((parts) => parts.join(''));
  const edited = fc
    .tuple(texts, fc.nat(), fc.nat({ max: 2 }), fc.oneof(fragments, fc.constant('')))
    .map(([text, at, cut, put]) => {
      const start = at % (text.length + 1);
      return text.slice(0, start) + put + text.slice(start + cut);
    });

  it('agree on every other text, but for duplicate keys', () => {
    const seen = { taken: 0, refused: 0, twice: 0 };
    fc.assert(
      fc.property(fc.oneof(soup, edited, fc.string({ unit: 'binary' })), (text) => {
        const bytes = Buffer.from(text);
        const expected = oracle(bytes);
        if ('refused' in expected) {
          seen.refused++;
          refusalOf(() => parseStrictJson(bytes, LIMITS));
          return;
        }
        try {
          assert.deepEqual(parseStrictJson(bytes, LIMITS), expected.value);
          seen.taken++;
        } catch (error) {
          const { reason } = refusalOf(() => {
            throw error;
          });
          assert.match(reason, /occurs twice/);
          seen.twice++;
        }
      }),
      { numRuns: 3000 },
    );
    assert(seen.taken > 100 && seen.refused > 100, JSON.stringify(seen));
  });

  it('agree on arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => {
        const expected = oracle(bytes);
        if ('refused' in expected) refusalOf(() => parseStrictJson(bytes, LIMITS));
        else assert.deepEqual(parseStrictJson(bytes, LIMITS), expected.value);
      }),
      { numRuns: 1000 },
    );
  });
});

describe('a key that occurs twice', () => {
  it('is refused in any object, however it is written', () => {
    const keys = fc.string({ unit: 'binary', maxLength: 5 });
    fc.assert(
      fc.property(
        keys,
        fc.uniqueArray(keys, { maxLength: 5 }),
        fc.nat({ max: 5 }),
        seeds,
        (twice, others, at, seed) => {
          const choose = () => seed.next().value;
          const names = others.filter((name) => name !== twice);
          names.splice(at, 0, twice);
          const members = [...names, twice].map((name) => `${speltString(name, choose)}:0`);
          const { reason } = refusalOf(() => parseStrictJson(Buffer.from(`[{${members.join()}}]`), LIMITS));
          assert.match(reason, /occurs twice/);
          const once = Buffer.from(`[{${members.slice(0, -1).join()}}]`);
          assert.deepEqual({ value: parseStrictJson(once, LIMITS) }, oracle(once));
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('the limits', () => {
  it('are met by exactly the values and levels that a text has', () => {
    const count = (value: unknown): number =>
      typeof value === 'object' && value !== null
        ? Object.values(value).reduce<number>((sum, item) => sum + count(item), 1)
        : 1;
    const depth = (value: unknown): number =>
      typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depth)) : 0;
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const bytes = Buffer.from(JSON.stringify(value));
        const limits = { depth: depth(value), elements: count(value) };
        assert.deepEqual({ value: parseStrictJson(bytes, limits) }, oracle(bytes));
        refusalOf(() => parseStrictJson(bytes, { ...limits, elements: limits.elements - 1 }));
        if (limits.depth > 0) refusalOf(() => parseStrictJson(bytes, { ...limits, depth: limits.depth - 1 }));
      }),
      { numRuns: 300 },
    );
  });
});
