import path from 'node:path';
import type { IndexConfig, PostgresConfig } from './config.ts';
import type { Settings } from './schema.ts';

const DEFAULT = { port: 5432, database: 'entrepot', user: 'entrepot' } as const;

export function indexConfig({ driver, postgres }: Settings['index'], cwd: string): IndexConfig {
  if (driver !== 'postgres') return { driver };
  const { tls, authorities, poolSize } = postgres;
  return {
    driver,
    postgres: {
      ...serverOf(postgres),
      tls,
      poolSize,
      ...(authorities !== undefined && { authorities: path.resolve(cwd, authorities) }),
    },
  };
}

type Server = Pick<PostgresConfig, 'host' | 'port' | 'database' | 'user' | 'password'>;

function serverOf(postgres: Settings['index']['postgres']): Server {
  if (postgres.url !== undefined) return serverOfUrl(new URL(postgres.url));
  const { host = '', port, database, user, password } = postgres;
  return {
    host,
    port: port ?? DEFAULT.port,
    database: database ?? DEFAULT.database,
    user: user ?? DEFAULT.user,
    ...(password !== undefined && { password }),
  };
}

function serverOfUrl({ hostname, port, pathname, username, password }: URL): Server {
  return {
    // An IPv6 address stands in brackets there, and nowhere else.
    host: decodeURIComponent(hostname).replaceAll(/^\[|\]$/g, ''),
    port: port === '' ? DEFAULT.port : Number(port),
    database: decodeURIComponent(pathname.slice(1)),
    user: decodeURIComponent(username),
    ...(password !== '' && { password: decodeURIComponent(password) }),
  };
}
