import assert from 'node:assert/strict';
import path from 'node:path';
import { describe, it } from 'node:test';
import { Client } from '../faults/client.ts';
import { Ledger } from '../faults/ledger.ts';
import { pull, push, trialImage } from '../faults/trial.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startFakeS3 } from '../harness/fake-s3/server.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';

describe('the commands, of a store in a bucket', () => {
  it('work beside the server, and say what a bucket does not have', async () => {
    await using directory = await temporaryDirectory();
    await using fake = await startFakeS3();
    const [root, copy] = [path.join(directory.path, 'root'), path.join(directory.path, 'copy')];
    const env = s3Environment({ ...fake.options, prefix: 'team/' });
    const entrepot = (...args: readonly string[]) => runEntrepot(args, { env });
    await using server = await startEntrepot({ root, env, args: ['--workers', '1'] });
    using client = new Client(server.url);
    const image = trialImage('kept', 9_000_000);
    await push({ client, ledger: new Ledger(), repository: 'app' }, image);

    for (const [args, said] of [
      [['fsck', '--root', root], /3 blobs; \d+ bytes read and hashed\neverything is whole/],
      [['index', 'rebuild', '--root', root], /0 were not in the index as they are in the tree/],
      [['du', '--root', root], /app .* 8\.\d MiB/],
      [['gc', 'run', '--root', root], /^0 blobs removed/],
      [['backup', copy, '--root', root], /1 repositories, 1 tags, 3 blobs/],
      [['backup', 'verify', copy], /everything is there and has its digest/],
    ] as const) {
      const { code, stdout, stderr } = await entrepot(...args);
      assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
      assert.match(stdout, said);
    }
    const undone = await entrepot('gc', 'undo', '--root', root);
    assert.deepEqual([undone.code, /a bucket has no trash/.test(undone.stderr)], [1, true], undone.stderr);
    const restored = await entrepot('restore', copy, '--root', path.join(directory.path, 'new'));
    assert.equal(restored.code, 1);
    assert.match(restored.stderr, /Copy the docker folder of the backup to the bucket/);
    assert.equal((await client.send('DELETE', '/v2/app/manifests/v1')).status, 202);
    assert.equal((await entrepot('tag', 'restore', 'app:v1', '--root', root)).code, 0);
    await pull(client, 'app', image);
  });
});
