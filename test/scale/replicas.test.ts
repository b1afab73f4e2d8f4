import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
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

  it('share a directory where that is asked for, and leave each other the files that are on their way', async () => {
    await using root = await temporaryDirectory();
    const env = postgresEnvironment(await postgres.database());
    const temporary = path.join(root.path, '.meta', 'tmp');
    await mkdir(temporary, { recursive: true });
    await writeFile(path.join(temporary, 'left by a crash'), '');
    const start = () => startEntrepot({ root: root.path, env, args: ['--workers', '1'] });
    await using first = await start();
    assert.deepEqual(await readdir(temporary), []);
    await writeFile(path.join(temporary, 'of the first'), '');
    await using second = await start();
    assert.deepEqual(await readdir(temporary), ['of the first']);
    const bytes = Buffer.from('some bytes');
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const pushed = await fetch(`${first.url}/v2/a/blobs/uploads/?digest=${digest}`, { method: 'POST', body: bytes });
    assert.equal(pushed.status, 201, first.output());
    assert.equal(await (await fetch(`${second.url}/v2/a/blobs/${digest}`)).text(), 'some bytes');
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
      assert.equal(begun.status, 202, `${await begun.text()}\n${first.output()}`);
      const upload = begun.headers.get('Location') ?? '';
      const finished = await fetch(`${second.url}${upload}?digest=${digest}`, { method: 'PUT', body: bytes });
      assert.equal(finished.status, 201, await finished.text());
      for (const { url } of [first, second]) {
        const got = await fetch(`${url}/v2/team/app/blobs/${digest}`);
        assert.equal(await got.text(), 'some bytes');
      }
      const asked = await runEntrepot(['gc', 'run', '--root', two.path], { env });
      assert.equal(asked.code, 0, `${asked.stderr}\n${first.output()}\n${second.output()}`);
      assert.equal(await first.stop(), 0);
      assert.equal((await fetch(`${second.url}/v2/`)).status, 200);
      assert.equal(await second.stop(), 0);
      const offline = await runEntrepot(['gc', 'run', '--root', two.path], { env });
      assert.equal(offline.code, 0, offline.stderr);
    });
  }
});
