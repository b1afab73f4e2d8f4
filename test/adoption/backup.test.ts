import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { tool } from '../clients/tools.ts';
import { startDistribution } from '../harness/distribution.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { pushManifest, request } from '../harness/push.ts';
import { image, indexOf } from './documents.ts';
import { Holdings } from './holdings.ts';
import { Pusher } from './pusher.ts';
import { DISTRIBUTIONS, WITHOUT_DISTRIBUTION } from './stores.ts';
import { verifyHoldings } from './verify.ts';

async function fill(server: RunningServer, holdings: Holdings): Promise<void> {
  const pusher = new Pusher(server, holdings);
  const [one, two] = [await pusher.seeded('base', {}, '1', 'latest'), await pusher.seeded('base', {}, '2')];
  const index = indexOf([one, two]);
  await pusher.manifest('base', index, 'all');
  for (let i = 0; i < 20; i++) await pusher.seeded(`team/app${i % 4}`, {}, `v${i}`);
  const gone = await pusher.seeded('team/app0', {}, 'gone');
  await pusher.deleteManifest('team/app0', gone);
  await pusher.seeded('nested/in/some/more', {}, 'v1');
}

async function entrepot(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await runEntrepot([...args, '--json'], { timeoutMs: 60_000 });
  assert.equal(code, 0, `${args.join(' ')}: ${stderr}${stdout}`);
  return JSON.parse(stdout) as Record<string, unknown>;
}

test('the backup of a running server is served, as it is, by Entrepot and by Distribution, and restored', async (t) => {
  await using directory = await temporaryDirectory('entrepot-backup-');
  const at = (name: string) => path.join(directory.path, name);
  const holdings = new Holdings();
  {
    await using server = await startEntrepot({ root: at('root'), args: ['--workers', '2'] });
    await fill(server, holdings);
    const made = await entrepot('backup', at('copy'), '--root', at('root'));
    assert.equal(made['copiedBlobs'], made['blobs']);
  }
  const pulled = await entrepot('backup', 'verify', at('copy'));
  assert.equal(pulled['tags'], 25);
  for (const distribution of DISTRIBUTIONS) {
    await t.test(distribution.title, { skip: distribution.missing }, async (each) => {
      await using server = await startDistribution({ root: at('copy'), program: tool(distribution.program) });
      const answers = await verifyHoldings(server, holdings, 'distribution');
      each.diagnostic(`${answers} answers held against what was pushed`);
      assert.ok(answers > 100, `only ${answers}`);
    });
  }
  await t.test('Entrepot, which changes nothing in it', async () => {
    await using server = await startEntrepot({ root: at('copy') });
    await verifyHoldings(server, holdings, 'entrepot');
    const { bytes, mediaType } = image('another');
    const headers = { 'Content-Type': mediaType };
    await request(server, 'PUT', '/v2/base/manifests/new', { status: 405, headers, body: bytes });
    await request(server, 'DELETE', '/v2/base/manifests/1', { status: 405 });
    const { code, stderr } = await runEntrepot(['backup', at('copy'), '--root', at('root')]);
    assert.deepEqual(
      [code, /another backup is at work in .*copy, or a server runs on it/.test(stderr)],
      [1, true],
      stderr,
    );
  });
  await entrepot('backup', 'verify', at('copy'));
  await entrepot('restore', at('copy'), '--root', at('new'));
  await t.test('the restored store', async () => {
    await using server = await startEntrepot({ root: at('new') });
    await verifyHoldings(server, holdings, 'entrepot');
    await new Pusher(server, holdings).seeded('base', {}, 'afterwards');
    await verifyHoldings(server, holdings, 'entrepot');
  });
});

test('what Distribution pushed to a store is in its backup', { skip: WITHOUT_DISTRIBUTION }, async () => {
  await using directory = await temporaryDirectory('entrepot-backup-');
  const at = (name: string) => path.join(directory.path, name);
  const holdings = new Holdings();
  {
    await using server = await startDistribution({ root: at('root') });
    const pusher = new Pusher(server, holdings);
    for (let i = 0; i < 5; i++) await pusher.seeded('old/app', {}, `v${i}`);
    // Distribution takes a tag that moves as well.
    const moved = await pusher.seeded('old/app', {}, 'moved');
    await pusher.seeded('old/app', {}, 'other');
    await pushManifest(server, 'old/app', 'other', moved);
    holdings.repository('old/app').tags.set('other', holdings.repository('old/app').tags.get('moved') ?? '');
  }
  // No server runs: the command compares the tree with an index of its own first.
  await entrepot('backup', at('copy'), '--root', at('root'));
  await entrepot('backup', 'verify', at('copy'));
  await using server = await startDistribution({ root: at('copy') });
  await verifyHoldings(server, holdings, 'distribution');
});
