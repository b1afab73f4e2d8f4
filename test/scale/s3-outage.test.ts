import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '../faults/client.ts';
import { Ledger } from '../faults/ledger.ts';
import { assertClearlyUnavailable, pull, push, trialImage, tryPush } from '../faults/trial.ts';
import { startFakeS3, type S3Fault } from '../harness/fake-s3/server.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';

// After which the server is asked again.
const PAUSE_MS = 3_200;

describe('a registry whose S3 server fails', () => {
  for (const fault of ['reset', 'slow-down', 'denied'] as const satisfies readonly S3Fault[]) {
    it(`answers what its index knows, refuses the rest clearly, and goes on by itself (${fault})`, async () => {
      await using directory = await temporaryDirectory();
      await using fake = await startFakeS3();
      const root = path.join(directory.path, 'root');
      await using server = await startEntrepot({ root, env: s3Environment(fake.options), args: ['--workers', '1'] });
      using client = new Client(server.url, 60_000);
      const to = { client, ledger: new Ledger(), repository: 'app' };
      const [old, young] = [trialImage('old', 3_000_000), trialImage('young', 3_000_000)];
      await push(to, old);

      fake.plan(() => fault);
      for (const target of [`manifests/${old.document.digest}`, 'manifests/v1', 'tags/list']) {
        assert.equal((await client.send('GET', `/v2/app/${target}`)).status, 200, target);
      }
      assert.equal((await client.send('HEAD', `/v2/app/blobs/${old.blobs[0]?.digest}`)).status, 200);
      const refusal = await tryPush(to, young);
      assert.ok(refusal);
      assertClearlyUnavailable(refusal);
      assertClearlyUnavailable(await client.send('GET', `/v2/app/blobs/${old.blobs[0]?.digest}`));
      assert.equal((await client.send('GET', '/v2/')).status, 200);

      fake.plan(undefined);
      await delay(PAUSE_MS);
      await pull(client, 'app', old);
      await push(to, young);
      await pull(client, 'app', young);
    });
  }

  it('refuses to start where the bucket cannot be reached, and says which and why', async () => {
    await using directory = await temporaryDirectory();
    await using fake = await startFakeS3();
    const env = s3Environment({ ...fake.options, bucket: 'nobody-made-it' });
    const start = startEntrepot({ root: path.join(directory.path, 'root'), env, args: ['--workers', '1'] });
    await assert.rejects(start, /nobody-made-it.*NoSuchBucket/s);
  });
});
