/** So many values of a list go into one statement; each length is a statement of its own. */
const MOST = 50;

/** The list in pieces that one statement takes. */
export function* inPieces<T>(items: readonly T[]): Generator<readonly T[]> {
  for (let from = 0; from < items.length; from += MOST) yield items.slice(from, from + MOST);
}

/** The places of so many values: `?, ?, ?`. */
export function marks(count: number): string {
  return Array.from({ length: count }, () => '?').join(', ');
}
