/** A version of semver.org, leniently: with or without `v`, and with one to three numbers. */
export interface Version {
  readonly numbers: readonly number[];
  /** Empty for a release. */
  readonly prerelease: readonly string[];
}

const VERSION = /^v?(\d{1,15})(?:\.(\d{1,15}))?(?:\.(\d{1,15}))?(?:-([0-9A-Za-z.-]+))?$/;

/** Undefined for a tag that is no version. */
export function parseVersion(tag: string): Version | undefined {
  const match = VERSION.exec(tag);
  if (match === null) return undefined;
  const [, major, minor, patch, prerelease] = match;
  return {
    numbers: [major, minor, patch].map((number) => Number(number ?? 0)),
    prerelease: prerelease === undefined ? [] : prerelease.split('.'),
  };
}

/** Negative when `a` comes before `b` (semver.org, item 11). */
export function compareVersions(a: Version, b: Version): number {
  for (const [index, number] of a.numbers.entries()) {
    const difference = number - (b.numbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  // A release comes after its prereleases.
  if (a.prerelease.length === 0 || b.prerelease.length === 0) return b.prerelease.length - a.prerelease.length;
  for (const [index, identifier] of a.prerelease.entries()) {
    const other = b.prerelease[index];
    if (other === undefined) return 1;
    const difference = compareIdentifiers(identifier, other);
    if (difference !== 0) return difference;
  }
  return a.prerelease.length - b.prerelease.length;
}

function compareIdentifiers(a: string, b: string): number {
  const [first, second] = [a, b].map((text) => (/^\d+$/.test(text) ? Number(text) : undefined));
  if (first !== undefined && second !== undefined) return first - second;
  // Numbers come before words.
  if (first !== undefined) return -1;
  if (second !== undefined) return 1;
  return a < b ? -1 : Number(a > b);
}
