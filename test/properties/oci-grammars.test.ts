import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { isDigest, parseDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/errors.ts';
import { isMediaType } from '../../oci/media-types.ts';
import { isRepositoryName, isTag, parseReference, parseRepositoryName, parseTag } from '../../oci/names.ts';
import { digests, mediaTypes } from './manifest-arbitrary.ts';

const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const DIGITS = '0123456789';
const ALPHANUMERIC = LOWER + LOWER.toUpperCase() + DIGITS;

const consistsOf = (text: string, alphabet: string) => Array.from(text).every((letter) => alphabet.includes(letter));

/** distribution-spec, "Pulling manifests", read letter by letter. */
function isNaiveName(text: string): boolean {
  return text.length <= 255 && text.split('/').every(isNaiveComponent);
}

function isNaiveComponent(component: string): boolean {
  // What came since the last letter or digit; undefined before the first.
  let separator: string | undefined;
  for (const letter of component) {
    if (consistsOf(letter, LOWER + DIGITS)) {
      if (separator !== undefined && separator !== '' && !isNaiveSeparator(separator)) return false;
      separator = '';
    } else {
      if (separator === undefined) return false;
      separator += letter;
    }
  }
  return separator === '';
}

function isNaiveSeparator(text: string): boolean {
  return ['.', '_', '__'].includes(text) || consistsOf(text, '-');
}

function isNaiveTag(text: string): boolean {
  const [first = ' ', ...rest] = text;
  return text.length <= 128 && consistsOf(first, `${ALPHANUMERIC}_`) && consistsOf(rest.join(''), `${ALPHANUMERIC}._-`);
}

function isNaiveDigest(text: string): boolean {
  const [algorithm, encoded = '', ...more] = text.split(':');
  const length = algorithm === 'sha256' ? 64 : algorithm === 'sha512' ? 128 : -1;
  return more.length === 0 && encoded.length === length && consistsOf(encoded, `${DIGITS}abcdef`);
}

function isNaiveMediaType(text: string): boolean {
  const names = text.split('/');
  return (
    names.length === 2 &&
    names.every((name) => {
      const [first = ' ', ...rest] = name;
      return (
        name.length <= 127 && consistsOf(first, ALPHANUMERIC) && consistsOf(rest.join(''), `${ALPHANUMERIC}!#$&^_.+-`)
      );
    })
  );
}

// The expressions as the distribution-spec, the image-spec and its JSON schema print them.
const SPEC_NAME = /^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$/;
const SPEC_TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const SPEC_DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

const of = (alphabet: string, maxLength = 12) =>
  fc.string({ unit: fc.constantFrom(...Array.from(alphabet)), maxLength });

const names: fc.Arbitrary<string> = fc.oneof(
  of('ab0._-/'),
  of('a-_./A \u212A\n'),
  fc.stringMatching(SPEC_NAME),
  fc.nat({ max: 300 }).map((length) => 'a'.repeat(length)),
  fc.array(of('a0', 4), { maxLength: 80 }).map((parts) => parts.join('/')),
);
const tags: fc.Arbitrary<string> = fc.oneof(
  of('aZ0_.-'),
  of('a.-:/ \n\u00e9'),
  fc.stringMatching(SPEC_TAG),
  fc.nat({ max: 200 }).map((length) => 'x'.repeat(length)),
);
const digestTexts: fc.Arbitrary<string> = fc.oneof(
  digests,
  of('sha256:'),
  fc.tuple(digests, fc.nat(), of('0gA:\n', 2), fc.nat({ max: 2 })).map(([text, at, put, cut]) => {
    const start = at % (text.length + 1);
    return text.slice(0, start) + put + text.slice(start + cut);
  }),
);
const mediaTypeTexts: fc.Arbitrary<string> = fc.oneof(
  mediaTypes,
  of('a0/.+-!'),
  of('a/;= *\n'),
  fc
    .tuple(fc.nat({ max: 130 }), fc.nat({ max: 130 }))
    .map(([type, subtype]) => `${'a'.repeat(type)}/${'b'.repeat(subtype)}`),
);

/** Compares two predicates on many texts, both of whose answers must occur. */
function agree(
  texts: fc.Arbitrary<string>,
  ours: (text: string) => boolean,
  reference: (text: string) => boolean,
): void {
  const seen = { yes: 0, no: 0 };
  fc.assert(
    fc.property(texts, (text) => {
      const expected = reference(text);
      assert.equal(ours(text), expected);
      seen[expected ? 'yes' : 'no']++;
    }),
    { numRuns: 3000 },
  );
  assert(seen.yes > 50 && seen.no > 50, JSON.stringify(seen));
}

describe('the grammar of', () => {
  it('repository names', () => {
    agree(names, isRepositoryName, isNaiveName);
    agree(names, isRepositoryName, (text) => text.length <= 255 && SPEC_NAME.test(text));
  });

  it('tags', () => {
    agree(tags, isTag, isNaiveTag);
    agree(tags, isTag, (text) => SPEC_TAG.test(text));
  });

  it('digests', () => {
    agree(digestTexts, isDigest, isNaiveDigest);
    fc.assert(fc.property(digests, (text) => SPEC_DIGEST.test(text) && parseDigest(text) === text));
  });

  it('media types', () => {
    agree(mediaTypeTexts, isMediaType, isNaiveMediaType);
  });
});

describe('the parsers', () => {
  it('give the text itself or a refusal with a detail of bounded length', () => {
    const parsers = fc.constantFrom<(text: string) => unknown>(parseRepositoryName, parseTag, parseDigest, (text) => {
      const { tag, digest } = parseReference(text);
      return tag ?? digest;
    });
    const long = fc.tuple(of('a0._-/:A+'), fc.nat({ max: 20_000 })).map(([text, times]) => text.repeat(times));
    fc.assert(
      fc.property(fc.oneof(names, tags, digestTexts, fc.string({ unit: 'binary' }), long), parsers, (text, parse) => {
        try {
          assert.equal(parse(text), text);
        } catch (error) {
          if (!(error instanceof RegistryError)) throw error;
          assert.equal(error.status, 400);
          assert(JSON.stringify(error.detail).length < 4000);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
