import { isLoopback } from '../../config/address.ts';
import type { Config, PostgresConfig } from '../../config/config.ts';
import { postgresOptions } from '../../server/open-index.ts';
import { KNOWN_MIGRATIONS } from '../../storage/metadata/metadata.ts';
import type { Inspection } from '../../storage/metadata/postgres/inspection.ts';
import { clockFindings } from './clock-difference.ts';
import { about, type Check, type Finding } from './finding.ts';

const database = about('database');

// The oldest that Debian still keeps up.
const OLDEST = 130_000;

/** Whether the database of the index can be used, and keeps what it is given. */
export const checkDatabase: Check = async ({ config }) => {
  const { postgres } = config.index;
  if (postgres === undefined) return [];
  try {
    const { inspectPostgres } = await import('../../storage/metadata/postgres/inspection.ts');
    const inspection = await inspectPostgres(await postgresOptions(postgres));
    return databaseFindings(config, postgres, inspection);
  } catch (error) {
    return [unusable(postgres, error instanceof Error ? error.message : String(error)), ...inTheClear(postgres)];
  }
};

/** What an inspection means for a server of this configuration. */
export function databaseFindings(config: Config, postgres: PostgresConfig, found: Inspection): readonly Finding[] {
  const major = Math.floor(found.version / 10_000);
  const pooled = found.isPooled ? ', through a pooler that lets transactions pass' : '';
  const saw = `${placeOf(postgres)} is PostgreSQL ${major}.${found.version % 10_000}${pooled}`;
  return [
    found.version < OLDEST
      ? database.warning(saw, 'Upgrade it: versions before 13 are not tried with this program.')
      : database.ok(saw),
    ...tables(postgres, found),
    ...migrations(found),
    ...found.unsafe.map((name) =>
      database.warning(
        `${name} is off: what was acknowledged may be lost when the database crashes`,
        `Set ${name} = on, in postgresql.conf or for this database and user.`,
      ),
    ),
    ...connections(config, postgres, found),
    ...inTheClear(postgres),
    ...clockFindings('the database', found.clockAheadMs),
  ];
}

function placeOf({ host, port, database: name }: PostgresConfig): string {
  return `${name} at ${host}:${port}`;
}

function unusable(postgres: PostgresConfig, message: string): Finding {
  const saw = `${placeOf(postgres)} cannot be used: ${message}`;
  if (/statement pooling mode/i.test(message)) {
    return database.problem(
      saw,
      'Set pool_mode = transaction in PgBouncer: a statement alone is no change of the index.',
    );
  }
  return database.problem(
    saw,
    'Look at index.postgres, and whether the database runs and lets this machine in (pg_hba.conf).',
  );
}

function tables(
  { database: name, user }: PostgresConfig,
  { encoding, maySetUpTables }: Inspection,
): readonly Finding[] {
  const findings: Finding[] = [];
  if (encoding !== 'UTF8') {
    findings.push(database.problem(`its encoding is ${encoding}`, `Create it anew with ENCODING 'UTF8'.`));
  }
  if (!maySetUpTables) {
    const advice = `Write ALTER DATABASE ${name} OWNER TO ${user}, or grant CREATE on its schema.`;
    findings.push(database.problem(`${user} may not create tables in it`, advice));
  }
  return findings;
}

function migrations({ migrations: version, worksFrom }: Inspection): readonly Finding[] {
  if (version === undefined || version === KNOWN_MIGRATIONS) return [];
  const saw = `its index is of version ${version}, this program knows ${KNOWN_MIGRATIONS}`;
  if (version < KNOWN_MIGRATIONS) return [database.ok(`${saw}: the next start brings it there`)];
  if (worksFrom !== undefined && KNOWN_MIGRATIONS >= worksFrom) return [database.ok(`${saw}, and works with it`)];
  return [database.problem(saw, 'Use the release that the other servers have.')];
}

/** Access has as many again, in its own pool. */
function connections({ workers }: Config, { poolSize }: PostgresConfig, found: Inspection): readonly Finding[] {
  const wanted = poolSize * workers;
  if (found.isPooled || wanted <= found.connections) return [];
  return [
    database.warning(
      `this server may open ${wanted} connections (index.postgres.poolSize for each worker), the database takes ${found.connections}`,
      'Raise max_connections, lower index.postgres.poolSize or workers, or put PgBouncer before it.',
    ),
  ];
}

/** Passwords and the index pass other machines. */
function inTheClear({ host, tls }: PostgresConfig): readonly Finding[] {
  if (tls || host.startsWith('/') || isLoopback(host)) return [];
  return [
    database.warning(
      `the connection to ${host} is not encrypted`,
      'Write index.postgres.tls: true, with index.postgres.authorities for an authority of your own.',
    ),
  ];
}
