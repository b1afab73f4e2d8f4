import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { lockRoot } from '../../server/root-lock.ts';
import { openSqliteMetadata } from '../../storage/metadata/metadata.ts';
import { runEntrepot, startCommand } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { until } from '../http/until.ts';

const DAYS_AGO = Date.now() - 3 * 86_400_000;

/** A store with a blob that nobody has needed for days. */
async function storeWithGarbage(root: string): Promise<void> {
  await using opened = await openTestRegistry({ root, now: () => DAYS_AGO });
  await pushBlob(opened.registry, name('team/app'), 'nobody needs this');
}

const REMOVED =
  '1 blobs removed, 17 bytes; 1 links\n' +
  'their bytes lie in .meta/trash for a day: "entrepot gc undo" brings them back\n';

test('gc run removes what is due where no server runs', async () => {
  await using directory = await temporaryDirectory();
  const gc = (...args: string[]) => runEntrepot(['gc', ...args, '--root', directory.path]);
  assert.match((await gc('run')).stderr, /no registry is in .* yet: name its --root/);
  await storeWithGarbage(directory.path);
  // The comparison at the start of a run sees a link of nobody's: that is no use of it.
  const { stdout, stderr, code } = await gc('run');
  assert.deepEqual([stdout, stderr, code], [REMOVED, '', 0]);
  assert.deepEqual(JSON.parse((await gc('run', '--json')).stdout), {
    examined: 0,
    unlinked: 0,
    removed: 0,
    bytes: 0,
    failed: 0,
  });
  assert.match((await gc('status')).stdout, /^on: every ten minutes\n.*\n.*\n?last round ended .*: 0 looked at/);
  assert.equal((JSON.parse((await gc('status', '--json')).stdout) as { queued: number }).queued, 0);
});

test('gc run ends with 1 when something could not be removed', async () => {
  await using directory = await temporaryDirectory();
  await storeWithGarbage(directory.path);
  // Where what is removed would go.
  await writeFile(path.join(directory.path, '.meta', 'trash'), '');
  const { stdout, code } = await runEntrepot(['gc', 'run', '--root', directory.path]);
  assert.equal(code, 1, stdout);
  assert.match(stdout, /^0 blobs removed, .*\n1 could not be removed: the log says why$/m);
});

for (const workers of ['1', '2']) {
  test(`gc run lets a server with ${workers} workers do it`, async () => {
    await using directory = await temporaryDirectory();
    await storeWithGarbage(directory.path);
    await using server = await startEntrepot({ root: directory.path, args: ['--workers', workers] });
    const { stdout, code } = await runEntrepot(['gc', 'run', '--root', directory.path]);
    assert.deepEqual([stdout, code], [REMOVED, 0]);
    assert.equal(await server.stop(), 0);
  });
}

test('gc run is refused where the registry is held or read-only, and says so', async () => {
  await using directory = await temporaryDirectory();
  await storeWithGarbage(directory.path);
  const run = (...args: string[]) => runEntrepot([...args, '--root', directory.path]);
  await run('gc', 'hold');
  const held = await run('gc', 'run');
  assert.deepEqual(
    [held.code, held.stderr],
    [1, 'entrepot: nothing is collected: held: an operator wants it so; look at it, then: entrepot gc release\n'],
  );
  assert.match(
    (await run('gc', 'status')).stdout,
    /removed until each .* gc release \[HOLD \.\.\.\]\nHOLD .*\n.* an operator wants it so$/m,
  );
  await run('gc', 'release');
  await run('read-only', 'on');
  assert.match((await run('gc', 'status')).stdout, /^nothing is removed now: the registry is read-only$/m);
  const readOnly = await run('gc', 'run');
  assert.deepEqual(
    [readOnly.code, readOnly.stderr],
    [1, 'entrepot: the registry is read-only: entrepot read-only off\n'],
  );
});

test('a task that the last server had begun is told to have ended with it', async () => {
  await using directory = await temporaryDirectory();
  await storeWithGarbage(directory.path);
  const metadata = await openSqliteMetadata(path.join(directory.path, '.meta', 'index.db'));
  const id = await metadata.tasks.request('collect', '{}', 1);
  await metadata.tasks.begin({ holder: 'a process', lease: undefined }, 2);
  await metadata.close();
  await runEntrepot(['gc', 'run', '--root', directory.path]);
  const after = await openSqliteMetadata(path.join(directory.path, '.meta', 'index.db'));
  assert.match((await after.tasks.find(id))?.failure ?? '', /^the server ended before it was done/);
  await after.close();
});

test('gc run does not wait for a server that was killed', async () => {
  await using directory = await temporaryDirectory();
  await storeWithGarbage(directory.path);
  const lock = lockRoot(directory.path);
  const metadata = await openSqliteMetadata(path.join(directory.path, '.meta', 'index.db'));
  await using command = startCommand(process.execPath, ['cli/main.mjs', 'gc', 'run', '--root', directory.path]);
  await until(
    'a task',
    async () => (await metadata.tasks.begin({ holder: 'a process', lease: undefined }, 1)) !== undefined,
  );
  lock.release();
  const { code, stderr } = await command.result;
  assert.deepEqual([code, stderr], [1, 'entrepot: the server ended before it was done: ask again\n']);
  await metadata.close();
});

test('gc run makes the index anew where it was deleted', async () => {
  await using directory = await temporaryDirectory();
  await storeWithGarbage(directory.path);
  await rm(path.join(directory.path, '.meta', 'index.db'));
  for (const end of ['-wal', '-shm']) await rm(path.join(directory.path, '.meta', `index.db${end}`), { force: true });
  const { stdout, code } = await runEntrepot(['gc', 'run', '--root', directory.path]);
  // Its age is not known any more: the grace begins anew.
  assert.deepEqual([stdout, code], ['0 blobs removed, 0 bytes; 0 links\n', 0]);
});

test('gc undo brings back what was removed, with the links that manifests need', async () => {
  await using directory = await temporaryDirectory();
  await storeWithGarbage(directory.path);
  const run = (...args: string[]) => runEntrepot([...args, '--root', directory.path]);
  await run('gc', 'run');
  const digest = digestOfText('nobody needs this');
  {
    // As a fault of the collection would leave it: a manifest that names what is gone.
    await using opened = await openTestRegistry({ root: directory.path, settings: { allowSparseImages: true } });
    const image = imageOf('nobody needs this');
    await opened.registry.manifests.put(manifestPush(name('team/app'), parseTag('v1'), image));
  }
  const unknown = await run('gc', 'undo', digestOfText('other'));
  assert.deepEqual([unknown.code, /not in the trash.*sha256:/.test(unknown.stderr)], [1, true]);
  assert.match((await run('gc', 'undo', 'sha256:x')).stderr, /"sha256:x" is no digest/);
  {
    await using server = await startEntrepot({ root: directory.path, args: ['--workers', '1'] });
    const blob = `${server.url}/v2/team/app/blobs/${digest}`;
    assert.equal((await fetch(blob)).status, 404);
    assert.equal((await run('gc', 'undo', digest)).stdout, '1 blobs brought back, 17 bytes; 1 links of repositories\n');
    assert.equal(await (await fetch(blob)).text(), 'nobody needs this');
  }
  // It is there: there is nothing more to bring back.
  assert.match((await run('gc', 'undo')).stdout, /^0 blobs brought back/);
});

test('gc undo leaves in the trash what is damaged there', async () => {
  await using directory = await temporaryDirectory();
  await storeWithGarbage(directory.path);
  const run = (...args: string[]) => runEntrepot([...args, '--root', directory.path]);
  await run('gc', 'run');
  const digest = digestOfText('nobody needs this');
  const trash = path.join(directory.path, '.meta/trash');
  const entries = await readdir(trash);
  const withBytes = entries.filter((entry) => existsSync(path.join(trash, entry, 'data')));
  assert.equal(withBytes.length, 1);
  for (const entry of withBytes) await writeFile(path.join(trash, entry, 'data'), 'something else');
  assert.equal(
    (await run('gc', 'undo')).stdout,
    `0 blobs brought back, 0 bytes; 0 links of repositories\n${digest} is damaged, and stays in the trash\n`,
  );
  assert.deepEqual(await readdir(trash), entries);
});
