import { setTimeout as delay } from 'node:timers/promises';

const LIMIT_MS = 10_000;

/**
 * Resolves as soon as `condition` holds.
 *
 * @throws Error when it does not within ten seconds
 */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(2);
  }
}
