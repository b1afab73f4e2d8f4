/** What is to be reached: a ratio against one peer, or an amount that needs no peer. */
export interface Target {
  readonly ratio?: number;
  /** In the row's unit. */
  readonly most?: number;
}

/** By peer, then by the beginning of the row's id; the longest beginning counts. */
const RATIOS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  // With tokens, rules and accounts against without (`--subject entrepot-bearer`).
  entrepot: { 'manifest-get': 0.8 },
  'docker-registry': {
    'manifest-get': 10,
    'manifest-head': 10,
    'blob-get-4KiB': 6,
    'blob-get-1MiB': 4,
    'blob-get-100MiB': 1.5,
    'blob-get-1GiB': 1.5,
    'blob-push-4KiB': 6,
    'blob-push-100MiB': 2,
    'tags-page-10000': 10,
    'catalog-1000': 20,
  },
  'distribution-v3': {
    'manifest-get': 4,
    'manifest-head': 4,
    'blob-get-4KiB': 5,
    'blob-get-1MiB': 3,
    'blob-get-100MiB': 1.2,
    'blob-get-1GiB': 1.2,
    'blob-push-4KiB': 6,
    'blob-push-100MiB-monolithic-c1': 1.2,
    'blob-push-100MiB-monolithic-c8': 0.9,
    'blob-push-100MiB-chunked-c1': 1.2,
    'blob-push-100MiB-chunked-c8': 0.9,
  },
};

const AMOUNTS: Readonly<Record<string, number>> = {
  'slow-pull-1000': 400,
  'start-up-time': 400,
  'start-up-idle-memory': 100,
};

/** What the row is to reach against `peer`; undefined when nothing was promised. */
export function targetOf(row: string, peer: string): Target | undefined {
  const most = AMOUNTS[row];
  if (most !== undefined) return { most };
  const ratios = RATIOS[peer] ?? {};
  const prefix = Object.keys(ratios)
    .filter((name) => row.startsWith(name))
    .sort((a, b) => b.length - a.length)[0];
  const ratio = prefix === undefined ? undefined : ratios[prefix];
  return ratio === undefined ? undefined : { ratio };
}

/** @param value the median of ours in the row's unit */
export function isMet(target: Target, ratio: number, value: number): boolean {
  return (target.ratio === undefined || ratio >= target.ratio) && (target.most === undefined || value <= target.most);
}
