import { setTimeout as delay } from 'node:timers/promises';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import type { Replicas } from '../scale/replicas.ts';

const PATIENCE_MS = 90_000;

/**
 * Waits until all that was left half-done is settled: nobody's lease has run out, nobody holds a lock, no repository is in
 * doubt, no copy is left to be made.
 */
export async function untilQuiet({
  postgres,
  database,
  s3,
}: Pick<Replicas, 'postgres' | 'database' | 's3'>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const [rows = {}] = await postgres.query(database.database, LEFT);
    const copies = await countDeferred(s3.options);
    if (copies === 0 && Object.values(rows).every((count) => Number(count) === 0)) return;
    if (performance.now() > deadline) throw new Error(`left: ${JSON.stringify({ ...rows, copies })}`);
    await delay(200);
  }
}

async function countDeferred(options: S3Options): Promise<number> {
  const driver = openS3Driver(options);
  let count = 0;
  try {
    for await (const _ of driver.deferred?.list() ?? []) count += 1;
  } finally {
    await driver.close();
  }
  return count;
}

const LEFT = `SELECT
  (SELECT count(*) FROM replica WHERE expires_at < extract(epoch FROM clock_timestamp()) * 1000) AS leases,
  (SELECT count(*) FROM intent) AS locks,
  (SELECT count(*) FROM blob WHERE deferred_at IS NOT NULL) AS deferred,
  (SELECT count(*) FROM repository WHERE verified_run LIKE 'doubt%') AS doubts`;
