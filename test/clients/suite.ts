import { describe, test } from 'node:test';
import { missingRegistry } from './registry.ts';

/**
 * A suite of node:test that says why it does not run, where it cannot.
 *
 * node:test leaves a suite that is skipped as a whole out of its totals. So it is a skipped test then, and counted.
 *
 * @param obstacle why it is skipped, or false
 */
export function clientSuite(name: string, obstacle: string | false, define: () => void): void {
  const why = obstacle === false ? missingRegistry : obstacle;
  if (why === false) describe(name, define);
  else test(name, { skip: why });
}
