import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';
import { versitygw, type S3Server } from './s3-servers.ts';

describe('servers on one database', { skip: missingPostgres === false ? versitygw.missing : missingPostgres }, () => {
  let postgres: PostgresServer;
  let s3: S3Server;
  before(async () => {
    postgres = await PostgresServer.start();
    s3 = await versitygw.start();
  });
  after(async () => {
    await postgres[Symbol.asyncDispose]();
    await s3[Symbol.asyncDispose]();
  });

  for (const workers of ['1', '2']) {
    it(`serve what either of them took, and do what a command asks (${workers} workers)`, async () => {
      await using one = await temporaryDirectory();
      await using two = await temporaryDirectory();
      const bucket = s3Environment({ ...s3.options, prefix: `workers-${workers}/` });
      const env = { ...postgresEnvironment(await postgres.database()), ...bucket };
      await using first = await startEntrepot({ root: one.path, env, args: ['--workers', workers] });
      await using second = await startEntrepot({ root: two.path, env, args: ['--workers', workers] });
      const bytes = Buffer.from('some bytes');
      const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
      const begun = await fetch(`${first.url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
      const upload = begun.headers.get('Location') ?? '';
      const finished = await fetch(`${second.url}${upload}?digest=${digest}`, { method: 'PUT', body: bytes });
      assert.equal(finished.status, 201, await finished.text());
      for (const { url } of [first, second]) {
        const got = await fetch(`${url}/v2/team/app/blobs/${digest}`);
        assert.equal(await got.text(), 'some bytes');
      }
      const asked = await runEntrepot(['gc', 'run', '--root', two.path], { env });
      assert.equal(asked.code, 0, asked.stderr);
      assert.equal(await first.stop(), 0);
      assert.equal((await fetch(`${second.url}/v2/`)).status, 200);
      assert.equal(await second.stop(), 0);
      const offline = await runEntrepot(['gc', 'run', '--root', two.path], { env });
      assert.equal(offline.code, 0, offline.stderr);
    });
  }
});
