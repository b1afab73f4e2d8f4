import assert from 'node:assert/strict';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot } from '../harness/process.ts';
import { Client } from './client.ts';
import { run } from './command.ts';
import { Ledger } from './ledger.ts';
import { mountTmpfs } from './mounted.ts';
import { push, trialImage } from './trial.ts';

const isPossible = process.platform === 'linux' && process.getuid?.() === 0;
const skip = !isPossible && 'needs root on Linux, to mount';

/** Writes until nothing more fits. */
async function fill(file: string): Promise<void> {
  await using handle = await open(file, 'w');
  const bytes = Buffer.alloc(4096);
  for (;;) {
    try {
      await handle.write(bytes);
    } catch {
      return;
    }
  }
}

async function startUpload(url: string): Promise<string> {
  const session = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: 'POST' });
  return `${url}${session.headers.get('location')}`;
}

test(
  'on a disk without a free byte a command says what to do, and the documented way leads out',
  { skip },
  async () => {
    await using disk = await mountTmpfs('size=24m');
    const root = path.join(disk.path, 'store');
    {
      await using server = await startEntrepot({ root });
      await fetch(await startUpload(server.url), { method: 'PATCH', body: Buffer.alloc(4_000_000) });
      await fill(path.join(disk.path, 'ballast'));
      const { code, stderr } = await runEntrepot(['gc', 'hold', '--root', root]);
      assert.deepEqual(
        [code, /: make room first, "The disk is full" in docs\/operations\.md/.test(stderr)],
        [1, true],
        stderr,
      );
      await server.stop();
    }
    await fill(path.join(disk.path, 'more'));
    const refused = await runEntrepot(['serve', '--root', root, '--address', '127.0.0.1:0']);
    assert.match(refused.stderr, /its disk is full: make room/);
    const uploads = [
      '-path',
      '*/_manifests',
      '-prune',
      '-o',
      '-type',
      'd',
      '-name',
      '_uploads',
      '-exec',
      'rm',
      '-r',
      '{}',
      '+',
    ];
    await run('find', path.join(root, 'docker/registry/v2/repositories'), ...uploads);
    await using server = await startEntrepot({ root });
    const { status } = await fetch(await startUpload(server.url), { method: 'PATCH', body: 'a layer' });
    assert.equal(status, 202);
    await rm(path.join(disk.path, 'ballast'));
  },
);

test('pushes leave enough of a disk for deletions, and for a start', { skip }, async () => {
  await using disk = await mountTmpfs('size=64m');
  const root = path.join(disk.path, 'store');
  const image = trialImage('kept');
  {
    await using server = await startEntrepot({ root, args: ['--workers', '1'] });
    using client = new Client(server.url);
    const to = { client, ledger: new Ledger(), repository: 'app' };
    await push(to, image);
    // What came of it stays for a day.
    const upload = await fetch(await startUpload(server.url), { method: 'PATCH', body: Buffer.alloc(80_000_000) });
    assert.equal(upload.status, 503);
    assert.match(await upload.text(), /the store is full/);
    assert.equal((await client.send('DELETE', `/v2/app/manifests/${image.document.digest}`)).status, 202);
    await server.stop();
  }
  await using server = await startEntrepot({ root, args: ['--workers', '1'] });
  using client = new Client(server.url);
  assert.equal((await client.send('GET', `/v2/app/manifests/${image.document.digest}`)).status, 404);
});
