const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes for a person: `512 B`, `1.5 GiB`. Never more than it is, so that what is not full does not look so. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  let unit = '';
  for (const next of UNITS) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return `${(Math.floor(value * 10) / 10).toFixed(1)} ${unit}`;
}
