/** A whole number and one unit, `30s`; `0` needs no unit. */
export const DURATION = /^(?:0|(0|[1-9][0-9]{0,11})(ms|s|m|h|d))$/;

/** Bytes as a whole number, with or without one unit of 1024, `4MiB`. */
export const SIZE = /^(0|[1-9][0-9]{0,14})(B|KiB|MiB|GiB|TiB)?$/;

/** So many a second, minute or hour, `600/m`. */
export const RATE = /^([1-9][0-9]{0,6})\/([smh])$/;

const MILLISECONDS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const BYTES: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** Milliseconds of a text that matches `DURATION`; undefined for any other. */
export function parseDuration(text: string): number | undefined {
  const match = DURATION.exec(text);
  if (match === null) return undefined;
  const [, amount = '0', unit = 'ms'] = match;
  return Number(amount) * (MILLISECONDS[unit] ?? 1);
}

/** Bytes of a number, or of a text that matches `SIZE`; undefined for any other and beyond exact integers. */
export function parseSize(value: string | number): number | undefined {
  const match = SIZE.exec(String(value));
  if (match === null) return undefined;
  const [, amount = '0', unit = 'B'] = match;
  const bytes = Number(amount) * (BYTES[unit] ?? 1);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** So many within so long. */
export interface Rate {
  readonly count: number;
  readonly periodMs: number;
}

/** What a text that matches `RATE` says; undefined for any other. */
export function parseRate(text: string): Rate | undefined {
  const match = RATE.exec(text);
  if (match === null) return undefined;
  const [, count = '0', unit = 's'] = match;
  return { count: Number(count), periodMs: MILLISECONDS[unit] ?? 1000 };
}

/** As it is written in the configuration. */
export function formatRate({ count, periodMs }: Rate): string {
  const unit = Object.keys(MILLISECONDS).find((name) => MILLISECONDS[name] === periodMs);
  return `${count}/${unit}`;
}
