const DAY = /^\d{4}-\d{2}-\d{2}$/;
// RFC 3339 section 5.6.
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(?:Z|[+-]\d{2}:\d{2})$/;

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * The last moment of a day (UTC), or the moment that a time names, in milliseconds since 1970; undefined for what is
 * neither.
 */
export function parseDate(text: string): number | undefined {
  if (!DAY.test(text) && !TIME.test(text)) return undefined;
  const start = Date.parse(text);
  if (Number.isNaN(start)) return undefined;
  if (!DAY.test(text)) return start;
  // Date.parse takes 2027-02-30 for the second of March.
  return new Date(start).toISOString().startsWith(text) ? start + DAY_MS - 1 : undefined;
}
