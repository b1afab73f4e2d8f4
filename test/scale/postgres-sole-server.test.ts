import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { openPostgresMetadata } from '../../storage/metadata/metadata.ts';
import type { SoleServer } from '../../storage/metadata/sole-server.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';

function at(run: string, seenAt: number): SoleServer {
  return { run, host: 'h', seenAt };
}

describe('a database that a server uses', { skip: missingPostgres }, () => {
  let postgres: PostgresServer;
  before(async () => (postgres = await PostgresServer.start()));
  after(() => postgres[Symbol.asyncDispose]());

  for (const workers of ['1', '2']) {
    it(`is no other's, until it has stopped (${workers} workers)`, async () => {
      await using one = await temporaryDirectory();
      await using two = await temporaryDirectory();
      const env = postgresEnvironment(await postgres.database());
      const start = (root: string) => startEntrepot({ root, env, args: ['--workers', workers] });
      {
        await using server = await start(one.path);
        await assert.rejects(
          start(two.path),
          /a server on \S+ uses the database of index\.postgres, and was there \d+ sec/,
        );
        const offline = await runEntrepot(['gc', 'run', '--root', two.path], { env });
        assert.notEqual(offline.code, 0, offline.stdout);
        assert.equal(await server.stop(), 0);
      }
      await using server = await start(two.path);
      assert.equal((await fetch(`${server.url}/v2/`)).status, 200);
    });
  }

  it("is another server's when the first was not seen for a minute, and the first notices", async () => {
    const options = await postgres.database();
    const [one, other] = await Promise.all([openPostgresMetadata(options), openPostgresMetadata(options)]);
    assert.equal(await one.soleServer.take(at('one', 1_000_000), 60_000), undefined);
    assert.equal((await other.soleServer.take(at('two', 1_050_000), 60_000))?.run, 'one');
    assert.equal(await one.soleServer.take(at('one', 1_055_000), 60_000), undefined);
    assert.equal((await other.soleServer.take(at('two', 1_114_000), 60_000))?.run, 'one');
    assert.equal(await other.soleServer.take(at('two', 1_115_001), 60_000), undefined);
    assert.equal((await one.soleServer.take(at('one', 1_116_000), 60_000))?.run, 'two');
    await one.soleServer.giveBack('one');
    assert.equal((await one.soleServer.take(at('one', 1_116_000), 60_000))?.run, 'two');
    await other.soleServer.giveBack('two');
    assert.equal(await one.soleServer.take(at('one', 1_116_000), 60_000), undefined);
    await Promise.all([one.close(), other.close()]);
  });
});
