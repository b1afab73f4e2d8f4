// What JSON.stringify leaves as it is although some readers of lines and some terminals act on it.
const UNSAFE = /[\u007f-\u009f\u2028\u2029]/g;
const CONTROL = /[\p{Cc}\u2028\u2029]/gu;
const PLAIN = /^[ !#-[\]-~]*$/;

/** The worst a character can become is `\u0085`: six bytes for one. */
const MAX_GROWTH = 6;

/**
 * `text` as a JSON string of printable characters and without anything that a reader could take for the end of a line.
 *
 * @param maxBytes how long the result may be; a longer text is cut
 */
export function jsonText(text: string, maxBytes: number): string {
  const cut = text.length > maxBytes ? text.slice(0, maxBytes) : text;
  if (PLAIN.test(cut)) return `"${cut}"`;
  const quoted = escapeUnsafe(JSON.stringify(cut));
  if (Buffer.byteLength(quoted) <= maxBytes + 2) return quoted;
  return escapeUnsafe(JSON.stringify(cut.slice(0, Math.floor(maxBytes / MAX_GROWTH))));
}

/** Escapes, in a piece of JSON, the characters that JSON allows in a string but that break lines or terminals. */
export function escapeUnsafe(json: string): string {
  return json.replaceAll(UNSAFE, escaped);
}

/** Escapes everything in a plain text that is no printable character. */
export function escapeControls(text: string): string {
  return text.replaceAll(CONTROL, escaped);
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}
