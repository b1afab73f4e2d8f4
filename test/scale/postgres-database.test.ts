import { after, describe, it } from 'node:test';
import { openPostgresMetadata } from '../../storage/metadata/metadata.ts';
import { openPostgres } from '../../storage/metadata/postgres.ts';
import type { PostgresOptions } from '../../storage/metadata/postgres/options.ts';
import { databaseContract, type DatabaseKind } from '../contracts/database.ts';
import { missingPgBouncer, PgBouncer, PostgresServer } from './postgres-server.ts';

if (missingPgBouncer === false) {
  const server = await PostgresServer.start();
  after(() => server[Symbol.asyncDispose]());
  const bouncer = await PgBouncer.start(await server.database());
  after(() => bouncer[Symbol.asyncDispose]());
  databaseContract(kindOf('PostgreSQL', server, (options) => options));
  databaseContract(kindOf('PostgreSQL behind PgBouncer', server, (options) => bouncer.before(options)));
} else {
  describe('database: PostgreSQL', () => it('keeps to the contract', { skip: missingPgBouncer }, () => {}));
}

function kindOf(
  name: string,
  server: PostgresServer,
  through: (options: PostgresOptions) => PostgresOptions,
): DatabaseKind {
  return {
    name,
    fresh: async () => {
      const options = await server.database();
      return {
        open: () => openPostgres(through(options)),
        openIndex: () => openPostgresMetadata(through(options)),
        [Symbol.asyncDispose]: () => server.drop(options),
      };
    },
  };
}
