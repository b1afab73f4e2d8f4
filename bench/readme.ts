import { readFileSync, writeFileSync } from 'node:fs';

const README = new URL('README.md', import.meta.url);

/** Puts a run's table where README.md shows the last run against this peer. */
export function writeToReadme(peer: string, table: string): void {
  writeFileSync(README, withTable(readFileSync(README, 'utf8'), peer, table));
}

/**
 * The page with everything between the two marks of `peer` replaced.
 *
 * @throws Error when the page has no place for this peer
 */
export function withTable(page: string, peer: string, table: string): string {
  const begin = `<!-- last run: ${peer} -->\n`;
  const end = '<!-- end -->';
  const start = page.indexOf(begin);
  const stop = page.indexOf(end, start);
  if (start === -1 || stop === -1) throw new Error(`README.md has no place for a run against ${peer}`);
  return `${page.slice(0, start + begin.length)}\n${table}\n\n${page.slice(stop)}`;
}
