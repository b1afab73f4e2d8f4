/** The candidate that `text` is most likely a slip of; undefined when none is close. */
export function closest(text: string, candidates: readonly string[]): string | undefined {
  const ranked = candidates
    .map((candidate) => ({ candidate, edits: editDistance(text.toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.edits - b.edits);
  const [best] = ranked;
  return best !== undefined && best.edits <= Math.max(2, text.length / 4) ? best.candidate : undefined;
}

/** Insertions, deletions and replacements of single characters from one text to the other (Levenshtein). */
function editDistance(from: string, to: string): number {
  const target = to.split('');
  let row = [0, ...target.map((_, index) => index + 1)];
  for (const [line, character] of from.split('').entries()) {
    const next = [line + 1];
    for (const [column, other] of target.entries()) {
      const replaced = (row[column] ?? 0) + (character === other ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
