import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { gunzipSync, gzipSync } from 'node:zlib';
import { parseTag } from '../../oci/names.ts';
import { openSqliteMetadata } from '../../storage/metadata/metadata.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { blobKey } from '../../storage/layout.ts';

const APP = name('team/app');

async function pushImage(root: string, tag: string, now = Date.now): Promise<void> {
  await using opened = await openTestRegistry({ root, now });
  for (const content of [`config ${tag}`, `layer ${tag}`]) await pushBlob(opened.registry, APP, content);
  await opened.registry.manifests.put(manifestPush(APP, parseTag(tag), imageOf(`config ${tag}`, `layer ${tag}`)));
}

const byText = (a: string, b: string) => (a < b ? -1 : 1);

async function all<T>(rows: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const row of rows) list.push(row);
  return list;
}

interface Place extends AsyncDisposable {
  readonly at: (...names: string[]) => string;
  /** Runs a command; its code and both of its streams. */
  readonly run: (...args: string[]) => Promise<readonly [number | null, string]>;
}

async function place(): Promise<Place> {
  const directory = await temporaryDirectory();
  return {
    at: (...names) => path.join(directory.path, ...names),
    run: async (...args) => {
      const { code, stdout, stderr } = await runEntrepot(args);
      return [code, stdout + stderr];
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

test('backup, list, verify and restore say what they did', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1');
  const [made, text] = await p.run('backup', p.at('copy'), '--root', p.at('root'));
  assert.equal(made, 0, text);
  assert.match(
    text,
    /^snapshot \S+: 1 repositories, 1 tags, 3 blobs, \d+ bytes\ncopied 3 blobs, \d+ bytes, in [\d.]+ s\n$/,
  );
  const [snapshot = ''] = /\d{4}-\S+Z/.exec(text) ?? [];
  assert.match((await p.run('backup', 'list', p.at('copy')))[1], new RegExp(`\n${snapshot} +1 +1 +\\d+ +yes\n$`));
  const [verified, words] = await p.run('backup', 'verify', p.at('copy'));
  assert.equal(verified, 0, words);
  assert.match(
    words,
    /pulled 1 repositories, 1 tags, 1 manifests, 3 blobs, \d+ bytes in .* s: everything is there and has its/,
  );
  await p.run('backup', p.at('copy'), '--root', p.at('root'), '--keep', '1');
  assert.deepEqual((await readdir(p.at('copy/.meta/snapshots'))).length, 1);
  const [restored, told] = await p.run('restore', p.at('copy'), '--root', p.at('new'));
  assert.equal(restored, 0, told);
  assert.match(
    told,
    /^restored \S+: 1 repositories, 1 tags; copied 3 blobs, \d+ bytes, in [\d.]+ s\nnow: entrepot serve --root /,
  );
});

test('verify names what is wrong with the copy, and ends with 1', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1');
  await p.run('backup', p.at('copy'), '--root', p.at('root'));
  await writeFile(p.at('copy', blobKey(digestOfText('layer v1'))), 'lAyer v1');
  const [code, text] = await p.run('backup', 'verify', p.at('copy'));
  assert.equal(code, 1);
  assert.match(
    text,
    /: 1 faults\nteam\/app, blob sha256:\w+ answered (?:404|503)\nwhat is wrong with a blob of the copy: remove its/,
  );
  // And a restore leaves the image out rather than making a wrong one.
  const [restored, told] = await p.run('restore', p.at('copy'), '--root', p.at('new'));
  assert.equal(restored, 1);
  assert.match(
    told,
    /\nnow: .*\nsha256:\w+ is corrupt in the backup\nleft out: team\/app:v1, which needs sha256:\w+\n$/,
  );
});

test('what is damaged in the store is told to who throws the result away', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1');
  await writeFile(p.at('root', blobKey(digestOfText('layer v1'))), 'lAyer v1');
  const made = await runEntrepot(['backup', p.at('copy'), '--root', p.at('root')]);
  const leftOut = /^sha256:\w+ is corrupt in the store\nleft out: team\/app:v1, which needs sha256:\w+\n$/;
  assert.deepEqual([made.code, leftOut.test(made.stderr)], [1, true], made.stderr);
  const verified = await runEntrepot(['backup', 'verify', p.at('copy')]);
  const notWhole = /^team\/app:v1@sha256:\w+ was not whole in the store: sha256:\w+\nwhat was not whole .*\n$/;
  assert.deepEqual([verified.code, notWhole.test(verified.stderr)], [1, true], verified.stderr);
});

test('a snapshot whose list is damaged is named, and is in the way of nothing else', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1');
  for (let i = 0; i < 2; i++) await p.run('backup', p.at('copy'), '--root', p.at('root'));
  const [older = '', newer = ''] = (await readdir(p.at('copy/.meta/snapshots'))).toSorted(byText);
  const lists = p.at('copy/.meta/snapshots');
  const sound = gunzipSync(await readFile(path.join(lists, newer)))
    .toString()
    .trimEnd()
    .split('\n');
  const change = (start: string, by: (line: string) => string) =>
    sound.map((line) => (line.startsWith(start) ? by(line) : line)).join('\n');
  const damaged = [
    change('{"end"', () => '{"end":{}}'),
    change('{"end"', (line) => line.replace('"incomplete":[]', '"incomplete":"none"')),
    change('{"moved"', () => '{"moved":{"repository":{},"tag":"v1","changedAt":1}}'),
    change('{"moved"', (line) => line.replace('"v1"', '"../v1"')),
    change('{"manifest"', (line) => line.replace('}', ',"pulledAt":"yesterday"}')),
    sound.slice(0, -1).join('\n'),
  ];
  await writeFile(path.join(lists, 'a copy of mine.jsonl.gz'), 'no list');
  for (const text of damaged) {
    await writeFile(path.join(lists, newer), gzipSync(text));
    const [code, words] = await p.run('backup', 'list', p.at('copy'));
    assert.equal(code, 1);
    assert.match(
      words,
      /\n2\S+ +1 +1 +\d+ +yes\n2\S+ +- +- +- +damaged\n.* is damaged \(.*\): restore another snapshot/,
    );
    for (const [verb, ...more] of [['verify'], ['restore', '--root', p.at('new')]]) {
      const command = verb === 'verify' ? ['backup', 'verify', p.at('copy')] : ['restore', p.at('copy'), ...more];
      assert.match((await p.run(...command))[1], /^entrepot: .* is damaged \(.*\): restore another snapshot/m);
    }
  }
  const id = older.slice(0, older.indexOf('Z') + 1);
  const [code, words] = await p.run('restore', p.at('copy'), '--root', p.at('new'), '--snapshot', id);
  assert.equal(code, 0, words);
  assert.equal((await p.run('backup', p.at('copy'), '--root', p.at('root')))[0], 0);
});

/** Of so many characters, or one more. */
function deepPath(directory: string, length: number): string {
  let deep = directory;
  while (deep.length < length) deep += `/${'d'.repeat(Math.max(1, Math.min(200, length - deep.length - 1)))}`;
  return deep;
}

test(
  'a directory that can be no backup is refused with the reason, and nothing is left there',
  { skip: process.platform !== 'linux' && 'needs /proc' },
  async () => {
    await using p = await place();
    await pushImage(p.at('root'), 'v1');
    for (const [directory, pattern] of [
      ['/proc/entrepot', /\/proc\/entrepot cannot be used: its file system takes no new directories/],
      ['/proc/self/a/b', /\/proc\/self\/a\/b cannot be used: its file system takes no new directories/],
      ['/sys/entrepot', /\/sys\/entrepot cannot be used: /],
      ['/proc', /\/proc is no backup, and not empty/],
      // It can be made, and not everything in it.
      [deepPath(p.at('deep'), 4070), /d cannot be used: its path is too long$/m],
    ] as const) {
      const [code, text] = await p.run('backup', directory, '--root', p.at('root'));
      assert.equal(code, 1, `${directory}: ${text}`);
      assert.match(text, pattern);
    }
    assert.deepEqual(await readdir(p.at('.')), ['root']);
    await p.run('backup', p.at('copy'), '--root', p.at('root'));
    const [code, text] = await p.run('restore', p.at('copy'), '--root', '/proc/entrepot');
    assert.equal(code, 1, text);
    assert.match(text, /cannot use the root \/proc\/entrepot/);
  },
);

test('mistakes are answered with what to do', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1');
  await pushImage(p.at('other'), 'v1');
  await mkdir(p.at('full'));
  await writeFile(p.at('full', 'notes.txt'), 'mine');
  await writeFile(p.at('file'), '');
  const root = ['--root', p.at('root')];
  for (const [code, pattern, ...args] of [
    [2, /backup has these forms: backup DIR, backup verify DIR, backup list DIR/, 'backup'],
    [2, /backup verify needs the directory of the backup/, 'backup', 'verify'],
    [2, /--keep takes how many snapshots are kept, 1 to 10000, not "0"/, 'backup', p.at('a'), ...root, '--keep', '0'],
    [2, /--keep is for backup DIR/, 'backup', 'list', p.at('a'), '--keep', '3'],
    [2, /--snapshot is for backup verify and restore/, 'backup', p.at('a'), '--snapshot', 'x'],
    [2, /restore needs a backup: entrepot restore DIR --root NEW/, 'restore'],
    [1, /no registry is in .*nothing yet: name its --root/, 'backup', p.at('a'), '--root', p.at('nothing')],
    [1, /copy lies within the store .*root: choose a directory beside it/, 'backup', p.at('root', 'copy'), ...root],
    [1, /root is the store itself: choose a directory beside it/, 'backup', p.at('root'), ...root],
    [1, / holds the store .*root: choose a directory beside it/, 'backup', p.at('.'), ...root],
    [1, /other is no backup, and a store of its own: choose an empty directory/, 'backup', p.at('other'), ...root],
    [1, /full is no backup, and not empty \(notes\.txt\): choose an empty/, 'backup', p.at('full'), ...root],
    [1, /file cannot be used: a file is in its place/, 'backup', p.at('file'), ...root],
    [1, /file\/b cannot be used: a file is in its place/, 'backup', p.at('file', 'b'), ...root],
    [1, /full is no backup: name the directory that "entrepot backup" wrote to/, 'backup', 'verify', p.at('full')],
    [1, /full is no backup: name the directory/, 'restore', p.at('full'), '--root', p.at('new')],
  ] as const) {
    const [actual, text] = await p.run(...args);
    assert.equal(actual, code, `${args.join(' ')}: ${text}`);
    assert.match(text, pattern);
  }
  assert.deepEqual(await readdir(p.at('full')), ['notes.txt']);
  await p.run('backup', p.at('copy'), ...root);
  for (const [pattern, ...args] of [
    [/there is no snapshot x in .*copy; the newest is 2/, 'backup', 'verify', p.at('copy'), '--snapshot', 'x'],
    [/there is no snapshot x in/, 'restore', p.at('copy'), '--root', p.at('new'), '--snapshot', 'x'],
    [
      /root holds a store: restore into an empty directory .* single image back, serve/,
      'restore',
      p.at('copy'),
      ...root,
    ],
    [/full holds notes\.txt: restore into an empty directory/, 'restore', p.at('copy'), '--root', p.at('full')],
    [
      /lies within the store .*: choose a directory beside it for the restored store/,
      'restore',
      p.at('copy'),
      '--root',
      p.at('copy/new'),
    ],
    [/copy is a backup: restore it to another root/, 'gc', 'run', '--root', p.at('copy')],
    [/copy is the backup of another store, .*root: choose another/, 'backup', p.at('copy'), '--root', p.at('other')],
  ] as const) {
    const [code, text] = await p.run(...args);
    assert.equal(code, 1, text);
    assert.match(text, pattern);
  }
});

test('a backup whose parts lead into the store by links is refused', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1');
  const root = ['--root', p.at('root')];
  assert.equal((await p.run('backup', p.at('copy'), ...root))[0], 0);
  for (const part of ['docker/registry/v2/blobs', 'docker']) {
    await rm(p.at('copy', part), { recursive: true });
    await symlink(p.at('root', part), p.at('copy', part));
    const [code, text] = await p.run('backup', p.at('copy'), ...root);
    assert.equal(code, 1);
    assert.match(text, /is the store itself: choose a directory beside it for the backup/);
  }
});

test('accounts and keys are in the copy, for their owner alone, and in what is restored', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1');
  const add = await runEntrepot(['user', 'add', 'alice', '--root', p.at('root')], { input: 'a good password\n' });
  assert.equal(add.code, 0, add.stderr);
  assert.equal((await p.run('keys', 'rotate', '--root', p.at('root')))[0], 0);
  const [code, text] = await p.run('backup', p.at('copy'), '--root', p.at('root'));
  assert.equal(code, 0, text);
  const names = await readdir(p.at('copy/.meta/snapshots'));
  assert.deepEqual(
    names.toSorted(byText).map((file) => file.split('Z')[1]),
    ['.access.db', '.jsonl.gz', '.keys.json'],
  );
  for (const file of [...names.map((each) => `snapshots/${each}`), 'access.db', 'keys.json']) {
    assert.equal((await stat(p.at('copy/.meta', file))).mode & 0o777, 0o600, file);
  }
  await p.run('restore', p.at('copy'), '--root', p.at('new'));
  assert.match((await p.run('user', 'list', '--root', p.at('new')))[1], /alice/);
  assert.equal(
    await readFile(p.at('new/.meta/keys.json'), 'utf8'),
    await readFile(p.at('root/.meta/keys.json'), 'utf8'),
  );
});

test('a restored store knows when images were pushed and tags moved', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1', () => 1_700_000_000_000);
  await pushImage(p.at('root'), 'v2', () => 1_710_000_000_000);
  await p.run('backup', p.at('copy'), '--root', p.at('root'));
  await p.run('restore', p.at('copy'), '--root', p.at('new'));
  const metadata = await openSqliteMetadata(p.at('new/.meta/index.db'));
  try {
    await metadata.snapshot.read(async (rows) => {
      const [{ id } = assert.fail('no repository')] = await all(rows.repositories());
      const [tags, manifests, history] = [
        await all(rows.tags(id)),
        await all(rows.manifests(id)),
        await all(rows.history()),
      ];
      const times = [1_700_000_000_000, 1_710_000_000_000];
      assert.deepEqual(
        tags.map(({ updatedAt }) => updatedAt),
        times,
      );
      assert.deepEqual(
        manifests.map(({ pushedAt }) => pushedAt).toSorted((a, b) => a - b),
        times,
      );
      assert.deepEqual(
        history.map(({ changedAt }) => changedAt),
        times,
      );
    });
    assert.notEqual(await metadata.blobs.verifiedSize(digestOfText('layer v1')), undefined);
  } finally {
    await metadata.close();
  }
});

test('half a store is not served, and a second restore makes it whole', async () => {
  await using p = await place();
  await pushImage(p.at('root'), 'v1');
  await p.run('backup', p.at('copy'), '--root', p.at('root'));
  const lists = async () => (await readdir(p.at('copy/.meta/snapshots'))).filter((file) => file.endsWith('.gz'));
  const [list = ''] = await lists();
  const snapshot = list.replace('.jsonl.gz', '');
  await mkdir(p.at('new/.meta'), { recursive: true });
  await writeFile(p.at('new/.meta/restoring.json'), JSON.stringify({ snapshot, backup: p.at('copy') }));
  const [code, text] = await p.run('serve', '--root', p.at('new'), '--address', '127.0.0.1:0');
  assert.equal(code, 1);
  assert.match(
    text,
    /new is not restored yet, and half a store is not served: go on with "entrepot restore .*copy --root .*"/,
  );
  await mkdir(p.at('new/docker'));
  assert.match((await p.run('gc', 'run', '--root', p.at('new')))[1], /is not restored yet/);
  await pushImage(p.at('root'), 'v2');
  await p.run('backup', p.at('copy'), '--root', p.at('root'));
  const other = (await lists()).find((each) => each !== list)?.replace('.jsonl.gz', '') ?? '';
  assert.match(
    (await p.run('restore', p.at('copy'), '--root', p.at('new'), '--snapshot', other))[1],
    /holds a half of .*: restore that one to its end, or empty the root/,
  );
  // Without a word about which: the one that was begun.
  assert.equal((await p.run('restore', p.at('copy'), '--root', p.at('new')))[0], 0);
  await using server = await startEntrepot({ root: p.at('new') });
  const tags = await (await fetch(`${server.url}/v2/team/app/tags/list`)).json();
  assert.deepEqual(tags, { name: 'team/app', tags: ['v1'] });
});

test(
  'root works as the owner of the store, and says so where that user may not write',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async () => {
    await using p = await place();
    await pushImage(p.at('root'), 'v1');
    await chmod(p.at('.'), 0o755);
    execFileSync('chown', ['-R', '65534:65534', p.at('root')]);
    await mkdir(p.at('roots'));
    const [code, text] = await p.run('backup', p.at('roots'), '--root', p.at('root'));
    assert.equal(code, 1);
    assert.match(
      text,
      /roots cannot be used: user 65534, who owns the store, may not write there: give the directory to that user/,
    );
    await mkdir(p.at('theirs'));
    execFileSync('chown', ['65534:65534', p.at('theirs')]);
    assert.equal((await p.run('backup', p.at('theirs'), '--root', p.at('root')))[0], 0);
    assert.equal((await stat(p.at('theirs/.meta/backup.json'))).uid, 65_534);
    await rm(p.at('roots'), { recursive: true });
  },
);
