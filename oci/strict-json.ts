import { manifestInvalid, placeOf, type Step } from './manifest-fault.ts';

export interface JsonLimits {
  /** How many arrays and objects may lie in one another. */
  readonly depth: number;
  /** How many values there may be in all, the arrays and objects among them. */
  readonly elements: number;
}

/**
 * Twice what 4 MiB of the shortest descriptors hold. Nothing in the specs nests deeper than 5; the rest is for unknown
 * fields.
 */
export const MANIFEST_JSON_LIMITS: JsonLimits = { depth: 64, elements: 250_000 };

type OnFraction = (steps: readonly Step[]) => void;

const ignore: OnFraction = () => undefined;

/**
 * Parses JSON (RFC 8259) that has one meaning only, in time linear in its length.
 *
 * Two parsers may read a document that is not quite JSON, or that names a key twice, as two different ones; so both are
 * refused here, and the bounds are checked before anything is built. The result is what `JSON.parse` makes: objects
 * have own properties only, a `__proto__` among them.
 *
 * @param onFraction is told of each number that is written with a point or an exponent: `1.0` is no integer to parsers
 *   that have integers. The steps are the scanner's own, and change after the call
 * @throws RegistryError `MANIFEST_INVALID` with place, byte offset and reason
 */
export function parseStrictJson(bytes: Uint8Array, limits: JsonLimits, onFraction: OnFraction = ignore): unknown {
  const text = decode(bytes);
  new Scanner(text, limits, onFraction).scan();
  return JSON.parse(text);
}

// `ignoreBOM` keeps a byte order mark in the text, where the scanner refuses it like any other stray character.
const STRICT_UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const LENIENT_UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

function decode(bytes: Uint8Array): string {
  try {
    return STRICT_UTF8.decode(bytes);
  } catch {
    const offset = firstInvalidByte(bytes);
    throw manifestInvalid({ place: '$', offset, reason: 'the body is not valid UTF-8: JSON is sent in UTF-8' });
  }
}

/** The lenient decoder puts U+FFFD where it met a fault, and where the text has one of its own. */
function firstInvalidByte(bytes: Uint8Array): number {
  const text = LENIENT_UTF8.decode(bytes);
  let offset = 0;
  let from = 0;
  for (let at = text.indexOf('\uFFFD'); at !== -1; at = text.indexOf('\uFFFD', from)) {
    offset += Buffer.byteLength(text.slice(from, at));
    const isOwn = bytes[offset] === 0xef && bytes[offset + 1] === 0xbf && bytes[offset + 2] === 0xbd;
    if (!isOwn) return offset;
    offset += 3;
    from = at + 1;
  }
  return offset;
}

const QUOTE = 0x22;
const PLUS = 0x2b;
const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const UPPER_E = 0x45;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const LOWER_E = 0x65;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const LOWER_U = 0x75;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const BYTE_ORDER_MARK = 0xfeff;

const SHORT_ESCAPES = new Set(Array.from('"\\/bfnrt', (letter) => letter.charCodeAt(0)));
const FOUR_HEX_DIGITS = /^[0-9A-Fa-f]{4}$/;

/** Reads a text once, from its first character to its last, and keeps nothing but where it is. */
class Scanner {
  readonly #text: string;
  readonly #limits: JsonLimits;
  readonly #onFraction: OnFraction;
  readonly #steps: Step[] = [];
  #at = 0;
  #elements = 0;

  constructor(text: string, limits: JsonLimits, onFraction: OnFraction) {
    this.#text = text;
    this.#limits = limits;
    this.#onFraction = onFraction;
  }

  scan(): void {
    this.#skipSpace();
    if (this.#text.length === this.#at) throw this.#fault('the body is empty: send the manifest as JSON');
    if (this.#peek() === BYTE_ORDER_MARK) throw this.#fault('the body starts with a byte order mark: remove it');
    this.#value();
    this.#skipSpace();
    if (this.#at < this.#text.length) throw this.#unexpected('the end of the body');
  }

  #value(): void {
    if (++this.#elements > this.#limits.elements) {
      throw this.#fault(`more than ${this.#limits.elements} values: split the manifest`);
    }
    switch (this.#peek()) {
      case OPEN_OBJECT:
        return this.#nested(() => this.#members());
      case OPEN_ARRAY:
        return this.#nested(() => this.#items());
      case QUOTE:
        this.#string();
        return;
      case LOWER_T:
        return this.#word('true');
      case LOWER_F:
        return this.#word('false');
      case LOWER_N:
        return this.#word('null');
      default:
        return this.#number();
    }
  }

  #nested(content: () => void): void {
    if (this.#steps.length >= this.#limits.depth) {
      throw this.#fault(`nested deeper than ${this.#limits.depth} levels: flatten the manifest`);
    }
    this.#at++;
    content();
    this.#at++;
  }

  /** From after the brace to before the closing one. */
  #members(): void {
    const depth = this.#steps.length;
    const keys = new Set<string>();
    this.#skipSpace();
    if (this.#peek() === CLOSE_OBJECT) return;
    for (;;) {
      this.#steps[depth] = this.#key(keys);
      this.#value();
      this.#steps.length = depth;
      this.#skipSpace();
      if (this.#peek() === CLOSE_OBJECT) return;
      this.#expect(COMMA, 'a comma or }');
      this.#skipSpace();
    }
  }

  /** A key and the colon after it. */
  #key(seen: Set<string>): string {
    if (this.#peek() !== QUOTE) throw this.#unexpected('a key in double quotes');
    const start = this.#at;
    const key = this.#decoded(start, this.#string());
    if (seen.has(key)) {
      this.#at = start;
      throw this.#fault(`the key ${JSON.stringify(key.slice(0, 100))} occurs twice in one object: keep one`);
    }
    seen.add(key);
    this.#skipSpace();
    this.#expect(COLON, 'a colon');
    this.#skipSpace();
    return key;
  }

  /** The string from `start` to here, without quotes and escapes: `"a"` and `"\u0061"` are the same key. */
  #decoded(start: number, hasEscape: boolean): string {
    if (!hasEscape) return this.#text.slice(start + 1, this.#at - 1);
    return String(JSON.parse(this.#text.slice(start, this.#at)));
  }

  /** From after the bracket to before the closing one. */
  #items(): void {
    const depth = this.#steps.length;
    this.#skipSpace();
    if (this.#peek() === CLOSE_ARRAY) return;
    for (let index = 0; ; index++) {
      this.#steps[depth] = index;
      this.#value();
      this.#steps.length = depth;
      this.#skipSpace();
      if (this.#peek() === CLOSE_ARRAY) return;
      this.#expect(COMMA, 'a comma or ]');
      this.#skipSpace();
    }
  }

  /** @returns whether it has an escape */
  #string(): boolean {
    const text = this.#text;
    let hasEscape = false;
    let at = this.#at + 1;
    for (;;) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) break;
      if (code === BACKSLASH) {
        hasEscape = true;
        at = this.#escapeEnd(at);
      } else if (code >= 0x20) {
        at++;
      } else {
        // A control character, or NaN after the last character.
        this.#at = at;
        throw this.#unexpected('a string without raw control characters, closed with a double quote');
      }
    }
    this.#at = at + 1;
    return hasEscape;
  }

  #escapeEnd(start: number): number {
    const letter = this.#text.charCodeAt(start + 1);
    if (SHORT_ESCAPES.has(letter)) return start + 2;
    if (letter === LOWER_U && FOUR_HEX_DIGITS.test(this.#text.slice(start + 2, start + 6))) return start + 6;
    this.#at = start;
    throw this.#fault(
      String.raw`an escape that JSON does not have: use \" \\ \/ \b \f \n \r \t or \u and 4 hex digits`,
    );
  }

  #word(word: string): void {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected('a JSON value');
    this.#at += word.length;
  }

  #number(): void {
    const isNegative = this.#skip(MINUS);
    const leadsWithZero = this.#peek() === ZERO;
    const start = this.#at;
    this.#digits(isNegative ? 'a digit' : 'a JSON value');
    if (leadsWithZero && this.#at > start + 1) {
      this.#at = start;
      throw this.#fault('a number starts with a superfluous 0: remove it');
    }
    const end = this.#at;
    if (this.#skip(POINT)) this.#digits('a digit');
    if (this.#skip(LOWER_E) || this.#skip(UPPER_E)) {
      if (!this.#skip(PLUS)) this.#skip(MINUS);
      this.#digits('a digit');
    }
    if (this.#at > end) this.#onFraction(this.#steps);
  }

  /** One digit or more. */
  #digits(expected: string): void {
    const start = this.#at;
    for (let code = this.#peek(); code >= ZERO && code <= NINE; code = this.#peek()) this.#at++;
    if (this.#at === start) throw this.#unexpected(expected);
  }

  #skipSpace(): void {
    for (let code = this.#peek(); code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;) {
      this.#at++;
      code = this.#peek();
    }
  }

  #skip(code: number): boolean {
    if (this.#peek() !== code) return false;
    this.#at++;
    return true;
  }

  #expect(code: number, name: string): void {
    if (!this.#skip(code)) throw this.#unexpected(name);
  }

  /** NaN at the end. */
  #peek(): number {
    return this.#text.charCodeAt(this.#at);
  }

  #unexpected(expected: string): Error {
    const found = this.#text.codePointAt(this.#at);
    const met = found === undefined ? 'the body ends' : `found ${JSON.stringify(String.fromCodePoint(found))}`;
    return this.#fault(`not JSON: ${met} where ${expected} belongs`);
  }

  #fault(reason: string): Error {
    const offset = Buffer.byteLength(this.#text.slice(0, this.#at));
    return manifestInvalid({ place: placeOf(this.#steps), offset, reason });
  }
}
