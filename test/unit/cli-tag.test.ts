import assert from 'node:assert/strict';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { blobKey } from '../../storage/layout.ts';
import { pullWhole, pushImage as pushHere } from '../contracts/undone.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { digestOfText, name, openTestRegistry } from '../harness/registry.ts';
import { Client } from '../http/client.ts';
import { pushImage } from '../http/content.ts';

const APP = name('team/app');
const UNDO = { undoMs: 7 * 24 * 3_600_000 };
const at =
  (root: string) =>
  (words: readonly string[], env: Readonly<Record<string, string>> = {}) =>
    runEntrepot(['tag', ...words, '--root', root], { env });

test('tag history and restore without a server', async () => {
  await using directory = await temporaryDirectory();
  const tag = at(directory.path);
  assert.match((await tag(['history', 'team/app:v1'])).stderr, /no registry is in .* yet: name its --root/);
  assert.match((await tag(['restore', 'team/app:v1'])).stderr, /no registry is in .* yet: name its --root/);
  const open = () => openTestRegistry({ root: directory.path, settings: UNDO });
  const digests: string[] = [];
  {
    await using opened = await open();
    const { registry } = opened;
    for (const layer of ['one', 'two']) digests.push(await pushHere(registry, APP, 'v1', layer));
    digests.push(await pushHere(registry, APP, 'v2', 'three'));
    await registry.repositories.delete(APP);
  }
  const [one = '', two = '', three = ''] = digests;
  const history = await tag(['history', 'team/app:v1']);
  const lines = history.stdout.trimEnd().split('\n');
  const minute = String.raw`\d{4}-\d\d-\d\d \d\d:\d\d`;
  assert.equal(lines.length, 4, history.stdout + history.stderr);
  assert.match(lines[0] ?? '', /^TIME \(UTC\) +TAG +FROM +TO +WHY +WHAT IT WAS BEFORE$/);
  assert.match(lines[1] ?? '', new RegExp(`^${minute} +v1 +${two} +- +repository +can come back until ${minute}$`));
  assert.match(lines[2] ?? '', new RegExp(`^${minute} +v1 +${one} +${two} +- +can come back until ${minute}$`));
  assert.match(lines[3] ?? '', new RegExp(`^${minute} +v1 +- +${one} +- +-$`));
  const all = JSON.parse((await tag(['history', 'team/app', '--json'])).stdout) as {
    changes: { tag: string; changedAt: string; from: object }[];
  };
  assert.deepEqual(
    all.changes.map((change) => change.tag),
    ['v2', 'v1', 'v2', 'v1', 'v1'],
  );
  const [newest] = all.changes;
  assert.equal(new Date(newest?.changedAt ?? '').toISOString(), newest?.changedAt);
  const until = new Date(Date.parse(newest?.changedAt ?? '') + UNDO.undoMs).toISOString();
  assert.deepEqual(newest?.from, { digest: three, state: 'kept', until });
  assert.match((await tag(['restore', 'team/app:v1', three])).stderr, /team\/app:v1: the tag never pointed to this/);
  const restored = await tag(['restore', 'team/app:v1']);
  assert.equal(restored.stdout, `team/app:v1 is ${two} again, with 1 deleted manifest\n`, restored.stderr);
  const older = await tag(['restore', 'team/app:v1', one, '--json']);
  assert.deepEqual(JSON.parse(older.stdout), {
    restored: [{ tag: 'v1', digest: one, previous: two, manifests: 1 }],
    failed: [],
  });
  assert.match((await tag(['history', 'team/app:v1'])).stdout, / restore +is there\n/);
  await using opened = await open();
  assert.equal(await pullWhole(opened.registry, APP, 'v1'), 3);
  assert.equal(await opened.registry.manifests.find(APP, { tag: parseTag('v2') }), undefined);
});

test('tag restore --all brings back what went with its repository, and says what it cannot', async () => {
  await using directory = await temporaryDirectory();
  const tag = at(directory.path);
  {
    await using opened = await openTestRegistry({ root: directory.path, settings: UNDO });
    for (const each of ['a', 'b', 'c', 'd']) await pushHere(opened.registry, APP, each, `layer of ${each}`);
    await opened.registry.tags.delete(APP, parseTag('d'));
    await opened.registry.repositories.delete(APP);
    await rm(path.join(directory.path, blobKey(digestOfText('layer of b'))));
  }
  const { code, stdout } = await tag(['restore', 'team/app', '--all']);
  assert.equal(code, 1);
  assert.match(
    stdout,
    /^team\/app:a is sha256:\w{64} again, with 1 deleted manifest\nteam\/app:c is .*\nb could not be brought back: the store does not have sha256:\w{64} any more, or not all of it: nothing was changed, push it again\n$/,
  );
  await using opened = await openTestRegistry({ root: directory.path, settings: UNDO });
  for (const each of ['a', 'c']) assert.equal(await pullWhole(opened.registry, APP, each), 3);
  assert.deepEqual(await opened.registry.tags.page(APP, '', 10), ['a', 'c']);
  await opened.registry.tags.delete(APP, parseTag('a'));
  assert.match(
    (await tag(['restore', 'team/other', '--all'])).stderr,
    /no tag of team\/other went with its repository/,
  );
});

test('tag history and restore beside a running server', async () => {
  await using directory = await temporaryDirectory();
  await using server = await startEntrepot({ root: directory.path });
  const client = new Client(server.url);
  const tag = at(directory.path);
  const first = await pushImage(client, 'team/app', 'v1', 'first');
  const second = await pushImage(client, 'team/app', 'v1', 'second');
  assert.equal((await client.delete(`/v2/team/app/manifests/${second.digest}`)).status, 202);
  assert.match(
    (await tag(['history', 'team/app:v1'])).stdout,
    new RegExp(`${second.digest} +- +- +can come back until`),
  );
  const restored = await tag(['restore', 'team/app:v1']);
  assert.equal(restored.stdout, `team/app:v1 is ${second.digest} again, with 1 deleted manifest\n`, restored.stderr);
  assert.equal((await client.get('/v2/team/app/manifests/v1')).text, second.manifest);
  for (const blob of second.blobs) assert.equal((await client.get(`/v2/team/app/blobs/${blob}`)).status, 200);
  assert.equal((await tag(['restore', 'team/app:v1', first.digest])).code, 0);
  assert.equal((await client.get('/v2/team/app/manifests/v1')).text, first.manifest);
  const { code, stderr } = await tag(['restore', 'team/app:v2']);
  assert.deepEqual(
    [code, stderr],
    [
      1,
      'entrepot: team/app:v2: nothing is known of this tag: it was never here, or too long ago, or the index was made anew since\n',
    ],
  );
  await client.put('/api/v1/read-only', '{"readOnly":true}', { 'Content-Type': 'application/json' });
  assert.match((await tag(['restore', 'team/app:v1'])).stderr, /the registry is read-only: entrepot read-only off/);
  client.close();
});

test('tag says what is wrong with its words', async () => {
  await using directory = await temporaryDirectory();
  const tag = at(directory.path);
  await writeFile(path.join(directory.path, 'unused'), '');
  const digest = `sha256:${'a'.repeat(64)}`;
  for (const [words, reason] of [
    [[], /tag has these verbs: history, restore/],
    [['undo'], /tag has these verbs: history, restore/],
    [['history'], /"" is no repository with a tag, such as team\/app:1\.0; write: entrepot tag history/],
    [['history', 'Team/App:v1'], /"Team\/App:v1" is no repository with a tag/],
    [['restore', 'team/app:v1:v2'], /is no repository with a tag/],
    [['history', 'team/app:v1', digest], /tag history takes no/],
    [['restore', 'team/app:v1', 'v0'], /"v0" is no digest: "entrepot tag history" has them/],
    [['restore', 'team/app:v1', digest, 'more'], /tag restore takes no "more"/],
    [['restore', 'team/app'], /name a tag; write:/],
    [['restore', 'team/app:v1', '--all'], /--all goes with a repository alone/],
    [['restore', 'team/app', digest, '--all'], /--all takes no digest/],
    [['history', 'team/app', '--all'], /--all is for tag restore/],
  ] as const) {
    const { code, stderr } = await tag(words);
    assert.equal(code, 2, words.join(' '));
    assert.match(stderr, reason);
  }
});
