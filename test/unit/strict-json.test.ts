import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isJsonObject } from '../../oci/json-field.ts';
import { MANIFEST_JSON_LIMITS, parseStrictJson } from '../../oci/strict-json.ts';
import { refusalOf, type Refusal } from './manifest-refusal.ts';

const parse = (text: string) => parseStrictJson(Buffer.from(text), MANIFEST_JSON_LIMITS);
const refuse = (text: string) => refusalOf(() => parse(text));
const refuseBytes = (...bytes: number[]) => refusalOf(() => parseStrictJson(Buffer.from(bytes), MANIFEST_JSON_LIMITS));

describe('strict JSON', () => {
  for (const text of [
    '{}',
    '[]',
    'null',
    'true',
    'false',
    '0',
    '-0.5e+10',
    '1E9',
    '""',
    ' \t\r\n[ 1 , {"a" : "\\u00e9" } ] ',
  ]) {
    it(`takes ${JSON.stringify(text)}`, () => assert.deepEqual(parse(text), JSON.parse(text)));
  }

  const refused: readonly (readonly [text: string, place: string, offset: number, reason: RegExp])[] = [
    ['', '$', 0, /empty/],
    [' \n ', '$', 3, /empty/],
    ['{} {}', '$', 3, /end of the body/],
    ['{"a":1,}', '$', 7, /key in double quotes/],
    ['{a:1}', '$', 1, /key in double quotes/],
    ["{'a':1}", '$', 1, /key in double quotes/],
    ['{"a" 1}', '$', 5, /colon/],
    ['{"a":1 "b":2}', '$', 7, /comma or }/],
    ['{"a":[1,2', 'a', 9, /the body ends where a comma or ]/],
    ['[1,]', '[1]', 3, /JSON value/],
    ['[1 2]', '$', 3, /comma or ]/],
    ['{"layers":[{"size":01}]}', 'layers[0].size', 19, /superfluous 0/],
    ['[-]', '[0]', 2, /digit/],
    ['[1.]', '[0]', 3, /digit/],
    ['[.5]', '[0]', 1, /JSON value/],
    ['[1e]', '[0]', 3, /digit/],
    ['[+1]', '[0]', 1, /JSON value/],
    ['[NaN]', '[0]', 1, /JSON value/],
    ['[truE]', '[0]', 1, /JSON value/],
    ['// comment\n{}', '$', 0, /JSON value/],
    ['["a\nb"]', '[0]', 3, /control/],
    ['["\u001f"]', '[0]', 2, /control/],
    ['["a', '[0]', 3, /control|closed/],
    [String.raw`["\x"]`, '[0]', 2, /escape/],
    [String.raw`["\u12g4"]`, '[0]', 2, /escape/],
    [String.raw`["\u12`, '[0]', 2, /escape/],
    ['["é", x]', '[1]', 7, /found "x"/],
  ];
  for (const [text, place, offset, reason] of refused) {
    it(`refuses ${JSON.stringify(text)} at ${place}, byte ${offset}`, () => {
      const refusal = refuse(text);
      assert.deepEqual([refusal.place, refusal.offset], [place, offset]);
      assert.match(refusal.reason, reason);
      assert.throws(() => JSON.parse(text) as unknown);
    });
  }
});

describe('keys that occur twice', () => {
  const twice: readonly (readonly [text: string, place: string, offset: number])[] = [
    ['{"a":1,"a":1}', '$', 7],
    [String.raw`{"a":1,"\u0061":2}`, '$', 7],
    [String.raw`{"\u0061":1,"a":2}`, '$', 12],
    [String.raw`{"/":1,"\/":2}`, '$', 7],
    ['{"":1,"":2}', '$', 6],
    ['{"__proto__":1,"__proto__":2}', '$', 15],
    ['{"1":1,"1":2}', '$', 7],
    ['{"config":{"digest":1,"size":2,"digest":3}}', 'config', 31],
    ['[0,{"x.y":[{"a":{},"a":{}}]}]', '[1]["x.y"][0]', 19],
  ];
  for (const [text, place, offset] of twice) {
    it(`are refused in ${text}`, () => {
      const refusal = refuse(text);
      assert.match(refusal.reason, /occurs twice/);
      assert.deepEqual([refusal.place, refusal.offset], [place, offset]);
    });
  }

  it('are fine in different objects, in other case and in another normal form', () => {
    const text = '{"a":{"a":[{"a":1},{"a":2}]},"A":1,"\u00e9":1,"e\u0301":2}';
    assert.deepEqual(parse(text), JSON.parse(text));
  });
});

describe('UTF-8', () => {
  const open = [0x7b, 0x22];
  const invalid: readonly (readonly [name: string, bytes: readonly number[], offset: number])[] = [
    ['a lone continuation byte', [...open, 0x80], 2],
    ['a cut sequence', [...open, 0xe2, 0x82], 2],
    ['an overlong slash', [...open, 0xc0, 0xaf], 2],
    ['a surrogate', [...open, 0xed, 0xa0, 0x80], 2],
    ['a code point above U+10FFFF', [...open, 0xf4, 0x90, 0x80, 0x80], 2],
    ['Latin-1 after a replacement character of its own', [...open, 0xef, 0xbf, 0xbd, 0xe9, 0x22], 5],
    ['UTF-16', [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00], 0],
  ];
  for (const [name, bytes, offset] of invalid) {
    it(`refuses ${name}`, () => {
      const refusal = refuseBytes(...bytes);
      assert.match(refusal.reason, /not valid UTF-8/);
      assert.equal(refusal.offset, offset);
    });
  }

  it('refuses a byte order mark', () => {
    assert.match(refuseBytes(0xef, 0xbb, 0xbf, 0x7b, 0x7d).reason, /byte order mark/);
  });

  it('takes U+FFFD, NUL escapes and astral characters', () => {
    const text = '{"\uFFFD":"\\u0000","\u{1F40B}":"\\ud83d\\udc0b"}';
    assert.deepEqual(parse(text), JSON.parse(text));
  });
});

describe('what is built', () => {
  it('has own properties only, __proto__ among them', () => {
    const value = parse('{"__proto__":{"polluted":true},"constructor":1}');
    assert(isJsonObject(value));
    assert.deepEqual(Object.getOwnPropertyNames(value), ['__proto__', 'constructor']);
    assert.equal(Object.getPrototypeOf(value), Object.prototype);
    assert.equal('polluted' in value, false);
    assert.equal('polluted' in {}, false);
  });

  it('tells of numbers with point or exponent', () => {
    const places: string[] = [];
    parseStrictJson(Buffer.from('{"a":[1,2.0,{"b":1e3}],"c":-0,"d":1E-2}'), MANIFEST_JSON_LIMITS, (steps) => {
      places.push(steps.join('/'));
    });
    assert.deepEqual(places, ['a/1', 'a/2/b', 'd']);
  });
});

const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);

describe('bounds', () => {
  it('takes the greatest depth and refuses one more', () => {
    const { depth } = MANIFEST_JSON_LIMITS;
    assert.deepEqual(parse(nested(depth)), JSON.parse(nested(depth)));
    const refusal = refuse(nested(depth + 1));
    assert.match(refusal.reason, /deeper than 64/);
    assert.equal(refusal.offset, depth);
  });

  it('counts objects, and both kinds together', () => {
    const limits = { depth: 2, elements: 100 };
    assert.deepEqual(parseStrictJson(Buffer.from('{"a":[1]}'), limits), { a: [1] });
    assert.match(refusalOf(() => parseStrictJson(Buffer.from('{"a":[{}]}'), limits)).reason, /deeper than 2/);
    assert.deepEqual(parseStrictJson(Buffer.from('[[],{},[],{}]'), limits), [[], {}, [], {}]);
  });

  it('takes as many values as allowed and refuses one more', () => {
    const limits = { depth: 9, elements: 5 };
    assert.deepEqual(parseStrictJson(Buffer.from('[1,{"a":2},3]'), limits), [1, { a: 2 }, 3]);
    assert.match(refusalOf(() => parseStrictJson(Buffer.from('[1,{"a":2},3,4]'), limits)).reason, /more than 5 values/);
  });
});

describe('4 MiB of malice', () => {
  const SIZE = 4 * 1024 * 1024;
  // Anything quadratic takes minutes; a slow machine needs a tenth of this. What else runs on it does not count.
  const BOUND_MICROSECONDS = 5_000_000;
  const keys = (spell: (index: number) => string) => {
    let text = '{';
    for (let index = 0; text.length < SIZE; index++) text += `${index === 0 ? '' : ','}"${spell(index)}":0`;
    return `${text}}`;
  };
  const malice: Readonly<Record<string, readonly [text: string, reason: RegExp | undefined]>> = {
    'nothing but opening brackets': ['['.repeat(SIZE), /deeper/],
    'nothing but opening objects': ['{"a":'.repeat(SIZE / 5), /deeper/],
    'more than a million empty arrays': [`[${'[],'.repeat(SIZE / 3)}[]]`, /more than/],
    'two million numbers': [`[${'0,'.repeat(SIZE / 2)}0]`, /more than/],
    'half a million keys': [keys((index) => index.toString(36)), /more than/],
    'half a million numbers as keys': [keys(String), /more than/],
    'as many keys as are allowed': [`{${Array.from({ length: 249_000 }, (_, i) => `"${i}":${i}`).join()}}`, undefined],
    'escaped keys': [`{${Array.from({ length: 200_000 }, (_, i) => `"\\u0061${i}":0`).join()}}`, undefined],
    'a string of backslashes': [`["${'\\\\'.repeat(SIZE / 2)}"]`, undefined],
    'a string of backslashes that never ends': [`["${'\\'.repeat(SIZE)}`, /control|escape/],
    'escapes without end': [`["${'\\u005c'.repeat(SIZE / 6)}"]`, undefined],
    'one long key, twice': [`{"${'k'.repeat(SIZE / 2)}":1,"${'k'.repeat(SIZE / 2)}":2}`, /twice/],
    'a number without end': ['9'.repeat(SIZE), undefined],
    'nothing but spaces': [' '.repeat(SIZE), /empty/],
    'spaces before a stray letter': [`{}${' '.repeat(SIZE)}x`, /end of the body/],
    'replacement characters before a bad byte': ['\uFFFD'.repeat(SIZE / 3), /JSON value/],
  };
  for (const [name, [text, reason]] of Object.entries(malice)) {
    it(`is judged at once: ${name}`, () => {
      const bytes = Buffer.from(text);
      const start = process.threadCpuUsage();
      const refusal: Refusal | undefined =
        reason === undefined
          ? void parseStrictJson(bytes, MANIFEST_JSON_LIMITS)
          : refusalOf(() => parseStrictJson(bytes, MANIFEST_JSON_LIMITS));
      assert(process.threadCpuUsage(start).user < BOUND_MICROSECONDS);
      if (refusal !== undefined && reason !== undefined) assert.match(refusal.reason, reason);
      assert((refusal?.place.length ?? 0) < 20_000);
    });
  }

  it('finds the bad byte behind a million replacement characters', () => {
    const bytes = Buffer.concat([Buffer.from('\uFFFD'.repeat(SIZE / 4)), Buffer.of(0xff)]);
    const start = process.threadCpuUsage();
    assert.equal(refusalOf(() => parseStrictJson(bytes, MANIFEST_JSON_LIMITS)).offset, bytes.length - 1);
    assert(process.threadCpuUsage(start).user < BOUND_MICROSECONDS);
  });
});
