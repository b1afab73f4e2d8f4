import { z } from 'zod';
import { parseAddress } from './address.ts';
import { isSecureUrl, isUrl } from './access-words.ts';
import { parseDate } from './date.ts';
import { DURATION, parseDuration, parseRate, parseSize, RATE, SIZE } from './quantity.ts';

/*
 * One kind of value a function. Each takes the key's meaning and says what it expects twice with the same words: in the
 * description (documentation, editors) and as the error, which the fault report completes to "Write <expected>."
 */

function described<T extends z.ZodType>(field: T, meaning: string, expected: string): T {
  return field.meta({ description: `${meaning} Write ${expected}.` });
}

export function flag(meaning: string) {
  const expected = 'true or false';
  return described(z.boolean(expected), meaning, expected);
}

export function integer(meaning: string, min: number, max: number) {
  const expected = `a whole number from ${min} to ${max}`;
  return described(z.int(expected).min(min, expected).max(max, expected), meaning, expected);
}

export function integerOr<const T extends string>(word: T, meaning: string, min: number, max: number) {
  const expected = `${word} or a whole number from ${min} to ${max}`;
  const number = z.int(expected).min(min, expected).max(max, expected);
  return described(z.union([z.literal(word, expected), number], expected), meaning, expected);
}

export function choice<const T extends readonly [string, ...string[]]>(meaning: string, values: T) {
  const expected = `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
  return described(z.enum(values, expected), meaning, expected);
}

export function duration(meaning: string, min: string, max: string) {
  const expected = `a duration from ${min} to ${max}, a whole number with ms, s, m, h or d`;
  return described(durationText(min, max, expected), meaning, expected);
}

/** A duration that may be none: YAML reads a plain `0` as a number. */
export function durationFromZero(meaning: string, max: string) {
  const expected = `0 or a duration up to ${max}, a whole number with ms, s, m, h or d`;
  const text = durationText('0', max, expected);
  return described(z.union([z.literal(0, expected), text], expected), meaning, expected);
}

/** A duration, or the word for none. */
export function durationOr<const T extends string>(word: T, meaning: string, min: string, max: string) {
  const expected = `${word} or a duration from ${min} to ${max}, a whole number with ms, s, m, h or d`;
  const text = durationText(min, max, expected);
  return described(z.union([z.literal(word, expected), text], expected), meaning, expected);
}

function durationText(min: string, max: string, expected: string) {
  const [least, most] = [parseDuration(min) ?? 0, parseDuration(max) ?? 0];
  const isWithin = (text: string) => {
    const value = parseDuration(text);
    return value !== undefined && value >= least && value <= most;
  };
  return z.string(expected).regex(DURATION, expected).refine(isWithin, expected);
}

export function size(meaning: string, min: string, max: string) {
  const { value, expected } = sizeFrom(min, max, 'a size');
  return described(value, meaning, expected);
}

function sizeFrom(min: string, max: string, what: string) {
  const expected = `${what} from ${min} to ${max}, a whole number with B, KiB, MiB, GiB or TiB`;
  const [least, most] = [parseSize(min) ?? 0, parseSize(max) ?? 0];
  const isWithin = (value: string | number) => {
    const bytes = parseSize(value);
    return bytes !== undefined && bytes >= least && bytes <= most;
  };
  const number = z.int(expected).min(0, expected);
  const text = z.string(expected).regex(SIZE, expected);
  return { value: z.union([number, text], expected).refine(isWithin, expected), expected };
}

/** A size, or the word for none. */
export function sizeOr<const T extends string>(word: T, meaning: string, min: string, max: string) {
  const { value, expected } = sizeFrom(min, max, `${word} or a size`);
  return described(z.union([z.literal(word, expected), value], expected), meaning, expected);
}

/** A rate, or the word for none. */
export function rateOr<const T extends string>(word: T, meaning: string, most: number) {
  const expected = `${word} or a rate such as 600/m, a whole number from 1 to ${most} a second (s), minute (m) or hour (h)`;
  const isWithin = (text: string) => (parseRate(text)?.count ?? Infinity) <= most;
  const text = z.string(expected).regex(RATE, expected).refine(isWithin, expected);
  return described(z.union([z.literal(word, expected), text], expected), meaning, expected);
}

export function address(meaning: string) {
  const expected = 'HOST:PORT, such as 127.0.0.1:5000, [::1]:5000 or 0.0.0.0:5000 (all interfaces)';
  return described(z.string(expected).refine(isAddress, expected), meaning, expected);
}

function isAddress(text: string): boolean {
  return parseAddress(text) !== undefined;
}

/** A path; its content is never meant: a key pasted where its file belongs is refused without being shown. */
export function file(meaning: string) {
  const expected = 'a path, in one line';
  return described(z.string(expected).regex(/^[^\p{Cc}]+$/u, expected), meaning, expected);
}

/** A path, or an address; see `file`. */
export function fileOrUrl(meaning: string) {
  const expected = 'a path, or an https:// address';
  return described(z.string(expected).refine(isFileOrUrl, expected), meaning, expected);
}

function isFileOrUrl(value: string): boolean {
  return isUrl(value) ? isSecureUrl(value) : /^[^\p{Cc}]+$/u.test(value);
}

export function secureUrl(meaning: string) {
  const expected = 'an https:// address';
  return described(z.string(expected).refine(isSecureUrl, expected), meaning, expected);
}

/** Any text in one line. */
export function line(meaning: string) {
  const expected = 'a text in one line, of at most 300 characters';
  return described(z.string(expected).regex(/^[^\p{Cc}]{1,300}$/u, expected), meaning, expected);
}

/** A name that other keys refer to. */
export function identifier(meaning: string) {
  const expected = 'a name of letters, digits, -, _ and .';
  return described(z.string(expected).regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/, expected), meaning, expected);
}

export function origin(meaning: string) {
  const expected = 'scheme and host, such as https://registry.example.com, without a path';
  return described(z.string(expected).refine(isOrigin, expected), meaning, expected);
}

function isOrigin(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || !/^https?:\/\//i.test(text)) return false;
  return url.href === `${url.origin}/`;
}

export function list<T extends z.ZodType>(meaning: string, expected: string, item: (expected: string) => T) {
  return described(z.array(item(expected), expected), meaning, expected);
}

/** One text or a list of them, each of which `isValid`. */
export function oneOrMore(meaning: string, expected: string, isValid: (text: string) => boolean) {
  const item = z.string(expected).refine(isValid, expected);
  return described(z.union([item, z.array(item, expected).min(1, expected)], expected), meaning, expected);
}

/** A list of sections; each key of theirs has its own meaning. */
export function sections<T extends z.ZodType>(meaning: string, expected: string, section: T) {
  return described(z.array(section, expected), meaning, expected);
}

/** A section whose keys are names that the user gives. */
export function named<T extends z.ZodType>(meaning: string, expected: string, value: T) {
  return described(z.record(z.string(expected), value, expected), meaning, expected);
}

export function date(meaning: string) {
  const expected = 'a date such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z';
  return described(
    z.string(expected).refine((text) => parseDate(text) !== undefined, expected),
    meaning,
    expected,
  );
}

/** Completes "Write ..." where a section is anything but a map. */
export const SECTION = 'the keys of this section, indented below it';
