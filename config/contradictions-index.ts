import type { Broken } from './contradictions.ts';
import type { Settings } from './schema.ts';

/* Rules between the keys of the index; see contradictions.ts. */

const PARTS = ['host', 'port', 'database', 'user', 'password'] as const;

export function databaseWithoutDriver({ index: { driver, postgres } }: Settings): Broken | undefined {
  const set = postgres.url === undefined ? 'host' : 'url';
  if (driver === 'postgres' || postgres[set] === undefined) return undefined;
  return {
    keys: ['index.driver', `index.postgres.${set}`],
    wrong: `index.postgres.${set} names a database, and the index would be in a file beside it`,
    instead: 'Write index.driver: postgres to use the database, or take index.postgres out.',
  };
}

export function driverWithoutDatabase({ index: { driver, postgres } }: Settings): Broken | undefined {
  if (driver !== 'postgres' || postgres.url !== undefined || postgres.host !== undefined) return undefined;
  return {
    keys: ['index.postgres.host', 'index.driver'],
    wrong: 'it is missing, and index.driver is postgres',
    instead: 'Name the server of the database, or set index.postgres.url.',
  };
}

export function urlAndParts({ index: { postgres } }: Settings): Broken | undefined {
  const part = PARTS.find((name) => postgres[name] !== undefined);
  if (postgres.url === undefined || part === undefined) return undefined;
  return {
    keys: [`index.postgres.${part}`, 'index.postgres.url'],
    wrong: 'index.postgres.url says it as well',
    instead: 'Set the address alone, or the keys without it.',
  };
}

export function authoritiesWithoutEncryption({ index: { postgres } }: Settings): Broken | undefined {
  if (postgres.authorities === undefined || postgres.tls) return undefined;
  return {
    keys: ['index.postgres.authorities', 'index.postgres.tls'],
    wrong: 'index.postgres.tls is false, and then no certificate is checked',
    instead: 'Write index.postgres.tls: true, or take the file out.',
  };
}

export function databaseWithoutBucket({ index, storage: { driver } }: Settings): Broken | undefined {
  if (index.driver !== 'postgres' || driver === 's3') return undefined;
  if (driver === 'memory') {
    return {
      keys: ['index.driver', 'storage.driver'],
      wrong: 'storage.driver is memory: the index would outlive what it is of',
      instead: 'Write index.driver: sqlite, or storage.driver: s3.',
    };
  }
  if (index.postgres.allowFilesystem) return undefined;
  return {
    keys: ['index.driver', 'storage.driver', 'index.postgres.allowFilesystem'],
    wrong: 'storage.driver is filesystem, and servers that share an index have to share what it is of',
    instead:
      'Write storage.driver: s3. One server alone needs index.driver: sqlite; for a file system that every server mounts write index.postgres.allowFilesystem: true.',
  };
}
