import { isJsonObject } from '../../oci/json-field.ts';

/** Labels and annotations that say how long an image is to stay; the first that is there counts. */
export const EXPIRY_LABELS: readonly string[] = ['entrepot.expires-after', 'quay.expires-after'];

const DURATION = /^(\d{1,9})\s*([smhdw])?$/;
const MILLISECONDS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** What a label says, in milliseconds, and its words where they are none; undefined where there is no such label. */
export type Expiry = { readonly ms: number } | { readonly malformed: string };

/** @param labels a JSON object, or anything else, which has none */
export function expiryOf(labels: unknown): Expiry | undefined {
  if (!isJsonObject(labels)) return undefined;
  for (const name of EXPIRY_LABELS) {
    const value = labels[name];
    // An empty one is how a derived image takes back the label of its base.
    if (typeof value !== 'string' || value.trim() === '') continue;
    const [, amount, unit = 's'] = DURATION.exec(value.trim().toLowerCase()) ?? [];
    return amount === undefined
      ? { malformed: value.slice(0, 100) }
      : { ms: Number(amount) * (MILLISECONDS[unit] ?? 1000) };
  }
  return undefined;
}
