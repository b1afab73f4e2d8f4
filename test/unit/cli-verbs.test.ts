import assert from 'node:assert/strict';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { userInfo } from 'node:os';
import { test } from 'node:test';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { name, openTestRegistry, pushBlob } from '../harness/registry.ts';

const CONFIG = `
access:
  htpasswd: users
  groups: {dev: [alice]}
  rules:
    - {who: anonymous, actions: pull, repositories: public/**}
    - {who: group:dev, actions: [pull, push], repositories: team/*, tags: v*}
    - {who: bob, actions: all, from: 10.0.0.0/8, until: 2020-01-01}
    - {who: 'robot:ci', actions: pull, repositories: ci/**}
`;

test('access explain names the rule, or says of each why it is none', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'config.yaml');
  await writeFile(file, CONFIG);
  const explain = (...words: string[]) => runEntrepot(['access', 'explain', ...words, '--config', file]);
  const yes = await explain('alice', 'push', 'team/app:v1');
  assert.equal(
    yes.stdout,
    'yes: alice may push team/app:v1, by rule 2 (access.rules[1]); a tag that is there already takes overwrite as well\n',
  );
  assert.equal(
    (await explain('anonymous', 'pull', 'public/a/b')).stdout.split(',')[0],
    'yes: anonymous may pull public/a/b',
  );
  const no = await explain('alice', 'push', 'team/app:latest');
  assert.equal(
    no.stdout,
    [
      'no: no rule says that alice may push team/app:latest (from 127.0.0.1)',
      '  rule 1 (access.rules[0]) is about other actions',
      '  rule 2 (access.rules[1]) is about other tags',
      '  rule 3 (access.rules[2]) is for others',
      '  rule 4 (access.rules[3]) is for others\n',
    ].join('\n'),
  );
  assert.match((await explain('robot:ci', 'pull', 'ci/app')).stdout, /^yes: robot:ci may pull ci\/app, by rule 4/);
  assert.match((await explain('ci', 'pull', 'ci/app')).stdout, /^no: /);
  assert.match((await explain('bob', 'admin')).stdout, /rule 3 \(access\.rules\[2\]\) holds from other addresses/);
  assert.match((await explain('bob', 'pull', 'a', '10.1.1.1')).stdout, /rule 3 .* held until an earlier day/);
  for (const words of [
    [],
    ['alice'],
    ['alice', 'read', 'a'],
    ['alice', 'push'],
    ['alice', 'push', 'A'],
    ['a', 'pull', 'a:'],
  ]) {
    const { code, stderr } = await explain(...words);
    assert.equal(code, 1, words.join());
    assert.match(stderr, /write: entrepot access explain USER ACTION REPOSITORY/);
  }
  assert.match(
    (await explain('alice', 'write', 'team/app')).stderr,
    /"write" is no action: pull, push, overwrite, delete, admin/,
  );
  assert.match((await explain('alice', 'pull', 'team/app', '10.0.0')).stderr, /"10\.0\.0" is no IP address/);
  assert.match((await runEntrepot(['access', 'explain', 'alice', 'pull', 'a'])).stdout, /^yes: access is open/);
});

test('keys rotate adds a key to those of the store, and says what is wrong otherwise', async () => {
  await using directory = await temporaryDirectory();
  const missing = await runEntrepot(['keys', 'rotate', '--root', path.join(directory.path, 'none')]);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /cannot be written \(ENOENT\): no registry is there yet: name its --root/);
  await mkdir(path.join(directory.path, '.meta'));
  const rotate = () => runEntrepot(['keys', 'rotate', '--root', directory.path]);
  const first = await rotate();
  assert.match(first.stdout, /^tokens are signed with \S+ from now on; those of the key before stay valid\n$/);
  await rotate();
  const file = path.join(directory.path, '.meta', 'keys.json');
  const { keys } = JSON.parse(await readFile(file, 'utf8')) as { keys: unknown[] };
  assert.equal(keys.length, 3, 'the first of all, and one for each call');
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test('config check goes by the variable that every command goes by', async () => {
  await using directory = await temporaryDirectory();
  const file = path.join(directory.path, 'config.yaml');
  await writeFile(file, 'acces: {}\n');
  const { code, stderr } = await runEntrepot(['config', 'check'], { env: { ENTREPOT_CONFIG: file } });
  assert.equal(code, 1);
  assert.match(stderr, /there is no such key/);
});

test('gc plan says what would go, hold lets it wait, release lets it go on', async () => {
  await using directory = await temporaryDirectory();
  const gc = (verb: string, env = {}) => runEntrepot(['gc', ...verb.split(' '), '--root', directory.path], { env });
  assert.match((await gc('plan')).stderr, /no registry is in .* yet: name its --root/);
  {
    await using opened = await openTestRegistry({ root: directory.path });
    await pushBlob(opened.registry, name('team/app'), 'nobody needs this');
  }
  const off = { ENTREPOT_COLLECTION_ENABLED: 'false' };
  assert.match(
    (await gc('plan')).stdout,
    /^DIGEST .*\nsha256:\w{64} +17  \d{4}-.*\n1 blob that nothing needs, 17 bytes\n$/,
  );
  assert.match((await gc('plan', off)).stdout, /17 bytes\nnothing is removed: collection\.enabled is false\n$/);
  const held =
    /nothing is removed until each .*entrepot gc release \[HOLD \.\.\.\]\nHOLD .*\n([0-9a-f]{8})  \S+ \S+ +(\S+) +(.*)$/m;
  const [, , by, reason] = held.exec((await gc('hold')).stdout) ?? [];
  assert.deepEqual([by, reason], [userInfo().username, 'an operator wants it so']);
  const bySudo = await gc('hold the disk is moved', { SUDO_USER: 'alice' });
  assert.match(bySudo.stdout, /wants it so\n[0-9a-f]{8}  \S+ \S+ +alice +the disk is moved\n$/);
  assert.equal((await gc('plan')).stdout.endsWith(bySudo.stdout), true);
  assert.match((await gc('release ffff0000')).stderr, /no hold is called ffff0000: "entrepot gc status" lists them/);
  const { holds } = JSON.parse((await gc('status --json')).stdout) as { holds: { id: string; by: string }[] };
  const first = holds.find((each) => each.by === 'alice')?.id ?? '';
  const one = await gc(`release ${first}`);
  assert.match(one.stdout, /^released: the disk is moved \(alice, .* UTC\)\nnothing is removed until each/);
  assert.match((await gc('status')).stdout, held);
  assert.match(
    (await gc('release')).stdout,
    /^released: an operator wants it so \(.*\)\ngarbage is collected again\n$/,
  );
  const wrong = await gc('sweep');
  assert.deepEqual(
    [wrong.code, /gc has these verbs: status, plan, run, undo, hold, release/.test(wrong.stderr)],
    [2, true],
  );
});
