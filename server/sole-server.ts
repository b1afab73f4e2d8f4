import { hostname } from 'node:os';
import type { Config } from '../config/config.ts';
import type { Metadata } from '../storage/metadata/metadata.ts';
import type { Log } from './observe/log.ts';

const LASTS_MS = 60_000;
const EVERY_MS = 10_000;

/** Another server uses the database. The message is for the operator. */
export class IndexIsTaken extends Error {
  override readonly name = 'IndexIsTaken';
}

/**
 * Takes an index that other machines reach for this server alone. What is in the root has the root's lock already.
 *
 * @param onLost called when somebody else has it by now: this process stood still for longer than its word counts
 * @throws IndexIsTaken
 */
export async function holdIndex(
  config: Config,
  { soleServer }: Pick<Metadata, 'soleServer'>,
  run: string,
  log: Log,
  onLost: () => void,
): Promise<AsyncDisposable> {
  if (config.index.postgres === undefined) return { [Symbol.asyncDispose]: async () => {} };
  const say = () => soleServer.take({ run, host: hostname(), seenAt: Date.now() }, LASTS_MS);
  const other = await say();
  if (other !== undefined) {
    throw new IndexIsTaken(
      `a server on ${other.host} uses the database of index.postgres, and was there ` +
        `${Math.round((Date.now() - other.seenAt) / 1000)} seconds ago. Several servers on one database are not there ` +
        'yet: stop it; when it is gone already, wait a minute. Or give this one a database of its own.',
    );
  }
  const timer = setInterval(() => {
    say().then(
      (taken) => {
        if (taken === undefined) return;
        log.error('another server has taken the index, this one stops', { host: taken.host });
        clearInterval(timer);
        onLost();
      },
      (error: unknown) => log.warn('the index could not be told that this server is there', { err: error }),
    );
  }, EVERY_MS).unref();
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await soleServer
        .giveBack(run)
        .catch((error: unknown) => log.warn('the index could not be given back: wait a minute', { err: error }));
    },
  };
}
