import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { KINDS } from '../../registry/fsck/finding.ts';
import { blobKey, tagLinkKey } from '../../storage/layout.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { PROJECT_ROOT, startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';

const APP = name('team/app');
const V1 = parseTag('v1');

/** A store with an image. */
async function fill(root: string): Promise<void> {
  await using opened = await openTestRegistry({ root });
  for (const text of ['{}', 'layer']) await pushBlob(opened.registry, APP, text);
  await opened.registry.manifests.put(manifestPush(APP, V1, imageOf('{}', 'layer')));
}

function commandOn(root: string) {
  return (...args: string[]) => runEntrepot([...args, '--root', root]);
}

test('fsck says that a store is whole, and what it has looked at', async () => {
  await using directory = await temporaryDirectory();
  const run = commandOn(directory.path);
  const none = await run('fsck');
  assert.deepEqual(
    [none.code, none.stderr],
    [1, `entrepot: no registry is in ${directory.path} yet: name its --root\n`],
  );
  await fill(directory.path);
  const bytes = '{}layer'.length + imageOf('{}', 'layer').length;
  const { code, stdout, stderr } = await run('fsck');
  const looked = `1 repositories, 1 tags, 1 manifests, 2 links and 3 blobs; ${bytes} bytes read and hashed`;
  assert.deepEqual([code, stdout, stderr], [0, `${looked}\neverything is whole\n`, '']);
  assert.match((await run('fsck', '--quick')).stdout, /; blobs by their sizes only\neverything is whole\n$/);
});

test('fsck tells each difference with what it means, and repairs what it can', async () => {
  await using directory = await temporaryDirectory();
  const run = commandOn(directory.path);
  await fill(directory.path);
  const layer = digestOfText('layer');
  await rm(path.join(directory.path, tagLinkKey(APP, V1)));
  await writeFile(path.join(directory.path, blobKey(layer)), 'other');
  const found = await run('fsck');
  assert.equal(found.code, 1);
  const sections = [
    `blob-corrupt (1, difference): ${KINDS['blob-corrupt'].what}\n  ${layer}: needed by team/app:v1\n  users: `,
    `tag-row-without-link (1, difference): ${KINDS['tag-row-without-link'].what}\n  team/app:v1\n  users: `,
    '\n2 differences, 0 repaired\n',
  ];
  for (const section of sections) assert.ok(found.stdout.includes(section), `${section}\nnot in\n${found.stdout}`);
  const repaired = await run('fsck', '--repair');
  assert.equal(repaired.code, 1, 'all that differed was put right, and an image is not whole');
  assert.match(repaired.stdout, /\(repaired\)[^]*\n {2}done: [^]*\n2 differences, 2 repaired\n1 lost: /);
  const lost = await run('fsck');
  assert.equal(lost.code, 1, 'an image is not whole');
  assert.match(
    lost.stdout,
    /^quarantined \(1, lost\): [^]*needed by team\/app@sha256:[^]*1 lost: nobody gets wrong bytes; push/,
  );
  assert.match((await run('fsck', 'status')).stdout, /\n0 blobs are to be read, 1 are damaged and wait for a push\n$/);
});

test('fsck is done by the server that runs, which repairs nothing while it is read-only', async () => {
  await using directory = await temporaryDirectory();
  const run = commandOn(directory.path);
  await fill(directory.path);
  await using server = await startEntrepot({ root: directory.path, args: ['--workers', '2'] });
  assert.equal((await run('fsck')).code, 0);
  await run('read-only', 'on');
  assert.equal((await run('fsck')).code, 0);
  const refused = await run('fsck', '--repair');
  const reason = 'entrepot: the registry is read-only, and a repair changes it: entrepot read-only off\n';
  assert.deepEqual([refused.code, refused.stderr], [1, reason]);
  assert.match(server.output(), /"kind":"fsck"/);
  assert.equal(await server.stop(), 0);
});

test('fsck status says what the server has read again by itself', async () => {
  await using directory = await temporaryDirectory();
  const run = commandOn(directory.path);
  await fill(directory.path);
  const fresh = await run('fsck', 'status');
  const lines = [
    'every blob is read again within 30 days, at 20971520 bytes a second at most',
    'no pass has come to its end yet',
  ];
  assert.deepEqual(fresh.stdout.split('\n').slice(0, 2), lines);
  {
    await using opened = await openTestRegistry({ root: directory.path });
    await opened.metadata.blobs.forgetVerified();
    await opened.registry.integrity.scrub(async () => {});
  }
  const { stdout } = await run('fsck', 'status', '--json');
  const { lastPass, due } = JSON.parse(stdout) as { lastPass: { blobs: number; damaged: number }; due: number };
  assert.deepEqual([lastPass.blobs, lastPass.damaged, due], [3, 0, 0]);
  assert.match((await run('fsck', 'status')).stdout, /last full pass: .* UTC to .* UTC: 3 blobs, \d+ bytes, 0 damaged/);
});

test('fsck refuses words that it does not know', async () => {
  await using directory = await temporaryDirectory();
  const run = commandOn(directory.path);
  for (const args of [
    ['fsck', 'now'],
    ['fsck', 'status', 'now'],
    ['fsck', 'status', '--repair'],
    ['gc', 'plan', '--repair'],
  ]) {
    assert.equal((await run(...args)).code, 2, args.join(' '));
  }
});

test('every class of findings is in the documentation', async () => {
  const text = await readFile(path.join(PROJECT_ROOT, 'docs/operations.md'), 'utf8');
  for (const kind of Object.keys(KINDS)) assert.ok(text.includes(`\`${kind}\``), kind);
});
