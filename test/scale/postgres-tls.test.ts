import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { postgresOptions } from '../../server/open-index.ts';
import { openPostgres } from '../../storage/metadata/postgres.ts';
import { AUTHORITY, certify, NO_OPENSSL, pairOf, type Certified } from '../harness/certificates.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';

describe('TLS to PostgreSQL', { skip: missingPostgres || NO_OPENSSL }, () => {
  const opened = new AsyncDisposableStack();
  let server: PostgresServer;
  let directory: string;
  let authority: Certified;
  let other: Certified;

  before(async () => {
    directory = opened.use(await temporaryDirectory()).path;
    server = opened.use(await PostgresServer.start());
    authority = await certify(directory, 'authority', { extensions: AUTHORITY });
    other = await certify(directory, 'other', { extensions: AUTHORITY });
    const names = ['DNS.1 = localhost'];
    await server.certify(await pairOf(await certify(directory, 'server', { issuer: authority, names })));
    await server.stop();
    await server.up();
  });
  after(() => opened.disposeAsync());

  /** Whether the connection is encrypted, as the server says. */
  async function isEncrypted(host: string, authorities: string | undefined): Promise<boolean> {
    const { database, port, user, poolSize } = await server.database();
    const where = { host, port, database, user, poolSize, tls: true };
    const found = await postgresOptions({ ...where, ...(authorities !== undefined && { authorities }) });
    const opening = await openPostgres(found);
    try {
      return (await opening.get('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'))?.['ssl'] === 1;
    } finally {
      await opening.close();
    }
  }

  it('works with the authority that signed the certificate of the server', async () => {
    assert.equal(await isEncrypted('localhost', authority.certificate), true);
  });

  it('refuses a certificate of another authority, and says which key to set', async () => {
    const advice = { message: /certificate.*; name the file of the authority .* in index\.postgres\.authorities/ };
    await assert.rejects(isEncrypted('localhost', other.certificate), advice);
    await assert.rejects(isEncrypted('localhost', undefined), advice);
  });

  it('refuses a certificate of another name', async () => {
    await assert.rejects(isEncrypted('127.0.0.1', authority.certificate), {
      message: /127\.0\.0\.1.*; set index\.postgres\.host to a name that its certificate has/,
    });
  });

  it('names the file of authorities that is not there', async () => {
    const file = path.join(directory, 'nothing.pem');
    await assert.rejects(readFile(file));
    await assert.rejects(isEncrypted('localhost', file), {
      message: /nothing\.pem cannot be read, which index\.postgres/,
    });
  });
});
