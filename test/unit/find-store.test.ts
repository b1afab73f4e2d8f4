import assert from 'node:assert/strict';
import { chmod, mkdir, rm, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { execFileSync } from 'node:child_process';
import { runEntrepot, startCommand, type CommandResult } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { name, openTestRegistry, pushBlob } from '../harness/registry.ts';

async function makeStore(root: string): Promise<void> {
  await using opened = await openTestRegistry({ root });
  await pushBlob(opened.registry, name('team/app'), 'a layer');
}

const gcStatus = (root: string) => runEntrepot(['gc', 'status', '--root', root]);

const NOBODY = 65_534;

/** Looks for the store as a user who owns nothing of it. */
async function findAsNobody(root: string): Promise<CommandResult> {
  const script = `
    import { findStore } from './cli/find-store.ts';
    if (process.getuid() === 0) process.setuid(${NOBODY});
    try { findStore({ root: ${JSON.stringify(root)}, index: { driver: 'sqlite' } }); } catch (error) { console.log(error.message); }`;
  await using command = startCommand(process.execPath, ['--input-type=module', '--eval', script]);
  return await command.result;
}

test('a user without rights on the store is told so, and who has them', async () => {
  await using directory = await temporaryDirectory();
  const root = path.join(directory.path, 'root');
  await makeStore(root);
  await chmod(directory.path, 0o755);
  const advice = 'run this as the user of the server, or as root\n';
  await chmod(path.join(root, '.meta/index.db'), 0o444);
  const readOnly = await findAsNobody(root);
  assert.ok(readOnly.stdout.endsWith(advice), readOnly.stdout + readOnly.stderr);
  await chmod(root, 0);
  const closed = await findAsNobody(root);
  assert.ok(closed.stdout.endsWith(advice), closed.stdout + closed.stderr);
  await chmod(root, 0o755);
});

test('where only the index is missing, that is said, and the next start or a rebuild makes it', async () => {
  await using directory = await temporaryDirectory();
  await mkdir(path.join(directory.path, 'empty'));
  assert.match(
    (await gcStatus(path.join(directory.path, 'empty'))).stderr,
    /no registry is in .*empty yet: name its --root/,
  );
  const root = path.join(directory.path, 'root');
  await makeStore(root);
  for (const file of ['index.db', 'index.db-wal', 'index.db-shm'])
    await rm(path.join(root, '.meta', file), { force: true });
  const asked = await gcStatus(root);
  assert.equal(asked.code, 1);
  assert.match(asked.stderr, /root has no index yet: start the server on it, or run "entrepot index rebuild"/);
  assert.equal((await runEntrepot(['index', 'rebuild', '--root', root])).code, 0);
  assert.equal((await gcStatus(root)).code, 0);
});

test('the collection of a backup is not asked about, nor is a backup made writable', async () => {
  await using directory = await temporaryDirectory();
  const [root, copy] = ['root', 'copy'].map((each) => path.join(directory.path, each)) as [string, string];
  await makeStore(root);
  assert.equal((await runEntrepot(['backup', copy, '--root', root])).code, 0);
  await using server = await startEntrepot({ root: copy });
  const status = await gcStatus(copy);
  assert.deepEqual([status.code, /copy is a backup: restore it/.test(status.stderr)], [1, true], status.stderr);
  const off = await runEntrepot(['read-only', 'off', '--root', copy]);
  assert.deepEqual([off.code, /always served read-only/.test(off.stderr)], [1, true], off.stderr);
  assert.equal((await fetch(`${server.url}/v2/team/app/blobs/uploads/`, { method: 'POST' })).status, 405);
});

test(
  'root changes nothing by itself behind a link to what a server owns, and asks a server that runs',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async () => {
    await using directory = await temporaryDirectory();
    const [root, link] = ['root', 'link'].map((each) => path.join(directory.path, each)) as [string, string];
    await makeStore(root);
    execFileSync('chown', ['-R', `${NOBODY}:${NOBODY}`, root]);
    await symlink(root, link);
    const repair = () => runEntrepot(['fsck', '--repair', '--root', link]);
    const alone = await repair();
    assert.deepEqual([alone.code, /is a link to what user 65534 owns: start the server/.test(alone.stderr)], [1, true]);
    await using server = await startEntrepot({ root: link });
    const beside = await repair();
    assert.equal(beside.code, 0, beside.stderr);
    assert.equal((await stat(path.join(root, '.meta/index.db'))).uid, NOBODY);
    assert.equal(await server.stop(), 0);
  },
);
