import { setTimeout as delay } from 'node:timers/promises';
import type { Replicas } from '../scale/replicas.ts';

const PATIENCE_MS = 90_000;

/**
 * Waits until all that was left half-done is settled: nobody's lease has run out, nobody holds a lock, no repository is in
 * doubt.
 */
export async function untilQuiet({ postgres, database }: Pick<Replicas, 'postgres' | 'database'>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const [left = {}] = await postgres.query(database.database, LEFT);
    if (Object.values(left).every((count) => Number(count) === 0)) return;
    if (performance.now() > deadline) throw new Error(`left: ${JSON.stringify(left)}`);
    await delay(200);
  }
}

const LEFT = `SELECT
  (SELECT count(*) FROM replica WHERE expires_at < extract(epoch FROM clock_timestamp()) * 1000) AS leases,
  (SELECT count(*) FROM intent) AS locks,
  (SELECT count(*) FROM repository WHERE verified_run LIKE 'doubt%') AS doubts`;
