import { z } from 'zod';
import { choice, file, flag, integer, line, SECTION } from './field.ts';

/* Where the index lies; see schema.ts. */

const postgres = z.strictObject(
  {
    url: url('Where the database is, in one line; otherwise the keys below say it.').meta({ secret: true }).optional(),
    host: line('The server: a name, an address, or the directory of its Unix socket.').optional(),
    port: integer('The port of the server; unset, 5432.', 1, 65_535).optional(),
    database: line('The name of the database; it has to be there. Unset, entrepot.').optional(),
    user: line('Whom to log in as; the owner of the database. Unset, entrepot.').optional(),
    password: line('The password of the user.').meta({ secret: true }).optional(),
    tls: flag('Whether the connection is encrypted, and the certificate of the server checked.').default(false),
    authorities: file('PEM file with the authorities that signed the certificate of the server.').optional(),
    poolSize: integer('How many connections to the database there are at most, per worker.', 4, 200).default(10),
    allowFilesystem: flag(
      'Whether blobs may lie in a file system all the same: one that every server mounts, and that loses nothing.',
    ).default(false),
  },
  SECTION,
);

export const index = z.strictObject(
  {
    driver: choice('Where the index lies; several servers share one in PostgreSQL.', ['sqlite', 'postgres']).default(
      'sqlite',
    ),
    postgres: postgres.prefault({}),
  },
  SECTION,
);

/** A database and a user besides the server; nothing behind a question mark. */
function isPostgresUrl(text: string): boolean {
  const parsed = URL.parse(text);
  if (parsed === null || !['postgres:', 'postgresql:'].includes(parsed.protocol)) return false;
  const isWhole = parsed.hostname !== '' && parsed.username !== '' && /^\/[^/]+$/.test(parsed.pathname);
  return isWhole && parsed.search === '' && parsed.hash === '';
}

function url(meaning: string) {
  const expected = 'an address such as postgres://user:password@host:5432/database, without parameters';
  return z
    .string(expected)
    .refine(isPostgresUrl, expected)
    .meta({ description: `${meaning} Write ${expected}.` });
}
