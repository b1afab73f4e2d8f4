import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { htpasswdFile } from '../http/accounts.ts';

test('user adds, lists, disables and enables accounts, and changes passwords', async () => {
  await using directory = await temporaryDirectory();
  await using file = await htpasswdFile(['fiona']);
  const env = { ENTREPOT_ROOT: directory.path, ENTREPOT_ACCESS_HTPASSWD: file.path };
  const user = (words: string[], input = '') => runEntrepot(['user', ...words], { env, input });
  const added = await user(['add', 'alice'], 'a good secret\n');
  assert.deepEqual([added.stdout, added.code], ['alice can log in\n', 0], added.stderr);
  assert.equal((await stat(path.join(directory.path, '.meta', 'access.db'))).mode & 0o777, 0o600);
  assert.match((await user(['passwd', 'alice'], 'a better secret')).stdout, /^alice has a new password/);
  assert.match((await user(['disable', 'alice'])).stdout, /^alice cannot log in any more/);
  assert.match(
    (await user(['list'])).stdout,
    /^USER {3}STATE .*\nalice {2}disabled {2}\d{4}-.*\nand those in \/.*users\n$/,
  );
  assert.equal((await user(['enable', 'alice'])).stdout, 'alice can log in\n');
  const refused: [string[], string, number, RegExp][] = [
    [['add', 'alice'], 'a good secret', 1, /alice is there already: entrepot user passwd alice changes the password/],
    [['add', 'fiona'], 'a good secret', 1, /fiona is in the htpasswd file already/],
    [['passwd', 'fiona'], 'a good secret', 1, /fiona is in the htpasswd file: change the password there/],
    [['enable', 'nobody'], '', 1, /nobody has no account/],
    [['add', 'bob'], 'short', 1, /a password has 8 characters at least, 72 bytes at most/],
    [['add', 'bob'], '', 1, /a password has 8 characters at least/],
    [['add', 'robot:x'], 'a good secret', 1, /is no name for a user/],
    [['add'], '', 2, /user add needs a name/],
    [['list', 'alice'], '', 2, /user list takes no "alice"/],
    [['remove', 'alice'], '', 2, /user has these verbs: add, list, disable, enable, passwd/],
    [['list', '--robot', 'x'], '', 2, /user takes no --robot/],
  ];
  for (const [words, input, code, message] of refused) {
    const answer = await user(words, input);
    assert.equal(answer.code, code, words.join(' '));
    assert.match(answer.stderr, message);
  }
});

test('root leaves the files to the owner of the root, and follows no link to those of others', async (context) => {
  if (process.geteuid?.() !== 0) return context.skip('needs root');
  await using directory = await temporaryDirectory();
  const [root, victim] = [path.join(directory.path, 'root'), path.join(directory.path, 'victim')];
  await chmod(directory.path, 0o755);
  await mkdir(root);
  await chown(root, NOBODY, NOBODY);
  const user = (words: string[], input = '') => runEntrepot(['user', ...words, '--root', root], { input });
  assert.equal((await user(['add', 'alice'], 'a good secret\n')).code, 0);
  assert.equal((await runEntrepot(['keys', 'rotate', '--root', root])).code, 0);
  for (const file of ['.meta', '.meta/access.db', '.meta/keys.json']) {
    assert.equal((await stat(path.join(root, file))).uid, NOBODY, file);
  }
  await writeFile(victim, 'of root', { mode: 0o644 });
  for (const end of ['', '-wal', '-shm']) await rm(path.join(root, `.meta/access.db${end}`), { force: true });
  await symlink(victim, path.join(root, '.meta/access.db'));
  const refused = await user(['list']);
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /access\.db cannot be opened: it is a symbolic link/);
  const { uid, mode } = await stat(victim);
  assert.deepEqual([uid, mode & 0o777, await readFile(victim, 'utf8')], [0, 0o644, 'of root']);
});

const NOBODY = 65534;

test('token makes, lists and revokes access tokens', async () => {
  await using directory = await temporaryDirectory();
  const env = { ENTREPOT_ROOT: directory.path, ENTREPOT_ACCESS_RULES: '[{"who":"robot:ci","actions":"pull"}]' };
  const token = (...words: string[]) => runEntrepot(['token', ...words], { env });
  const limits = ['--actions', 'pull, push', '--repositories', 'team/**', '--tags', 'v*', '--expires', '30d'];
  const made = await token('create', 'pipeline', '--robot', 'ci', ...limits);
  assert.match(made.stdout, /^entrepot_at_[\w-]{43}\n$/, 'nothing else, for a pipe');
  assert.match(
    made.stderr,
    /^token 1 of robot:ci, until \d{4}-.* UTC; it is not shown again\nlog in with: docker login/,
  );
  const list = await token('list');
  assert.match(
    list.stdout,
    /1 {3}robot:ci {2}pipeline {2}good {3}\d{4}-\S+ \S+ {2}- +pull,push in team\/\*\* tags v\*\n$/,
  );
  assert.ok(!list.stdout.includes(made.stdout.trim()));
  assert.equal((await token('revoke', '1')).stdout, 'revoked: 1; nobody gets in with them any more\n');
  assert.match((await token('list')).stdout, /revoked/);
  const refused: [string[], number, RegExp][] = [
    [['create', 'x'], 1, /for a user or for a robot: name one of the two/],
    [['create', 'x', '--user', 'nobody'], 1, /nobody has no account/],
    [['create', 'x', '--robot', 'ci', '--actions', 'read'], 1, /"read" is not pull, push/],
    [['create', '--robot', 'ci'], 2, /token create needs a name/],
    [['revoke'], 1, /name the tokens by their ids/],
    [['revoke', '7'], 1, /there is no access token 7/],
    [['revoke', 'entrepot_at_secret'], 1, /there is no access token "entrepot"/],
    [['list', '--tags', 'x'], 2, /--tags is for token create/],
    [['make'], 2, /token has these verbs/],
  ];
  for (const [words, code, message] of refused) {
    const answer = await token(...words);
    assert.equal(answer.code, code, words.join(' '));
    assert.match(answer.stderr, message);
  }
});

test('where nobody is asked to log in, it says so; where no store is, it says that', async () => {
  await using directory = await temporaryDirectory();
  const made = await runEntrepot(['token', 'create', 'x', '--robot', 'ci', '--root', directory.path]);
  assert.match(made.stderr, /^note: by this configuration nobody is asked to log in: name the one .* --config/);
  const none = path.join(directory.path, 'none');
  assert.equal(
    (await runEntrepot(['user', 'list', '--root', none])).code,
    0,
    'accounts may come before the first start',
  );
  const memory = { env: { ENTREPOT_STORAGE_DRIVER: 'memory' } };
  assert.match((await runEntrepot(['user', 'list'], memory)).stderr, /in memory is reached over HTTP only/);
  const broken = path.join(directory.path, 'broken');
  await mkdir(path.join(broken, '.meta'), { recursive: true });
  await writeFile(path.join(broken, '.meta', 'access.db'), 'x'.repeat(5000));
  const damaged = await runEntrepot(['user', 'list', '--root', broken]);
  assert.equal(damaged.code, 1);
  assert.match(damaged.stderr, /accounts: .*; restore \.meta\/access\.db from a backup/);
  assert.ok(!damaged.stderr.includes('    at '), damaged.stderr);
});
