import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { openTestRegistry, name, pushBlob } from '../harness/registry.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { htpasswdFile } from '../http/accounts.ts';

const ME = userInfo().username;

async function audited() {
  const resources = new AsyncDisposableStack();
  const [directory, accounts] = [
    resources.use(await temporaryDirectory()),
    resources.use(await htpasswdFile(['fiona'])),
  ];
  const root = path.join(directory.path, 'root');
  const file = path.join(directory.path, 'audit.log');
  {
    await using opened = await openTestRegistry({ root });
    await pushBlob(opened.registry, name('team/app'), '{}');
  }
  const env = {
    ENTREPOT_ACCESS_HTPASSWD: accounts.path,
    ENTREPOT_ACCESS_AUDIT: file,
    // Whoever runs the tests may do so by sudo.
    SUDO_USER: ME,
  };
  const run = (words: readonly string[], input = '') => runEntrepot([...words, '--root', root], { env, input });
  const lines = async () => {
    const texts = (await readFile(file, 'utf8')).trimEnd().split('\n');
    return texts.map((text) => JSON.parse(text) as Record<string, unknown>);
  };
  return { root, file, env, run, lines, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

const deed = (subject: string, outcome: string) => ({
  user: ME,
  credential: 'command-line',
  action: 'admin',
  subject,
  outcome,
});
const withoutTime = ({ time, ...line }: Record<string, unknown>) => {
  assert.match(String(time), /^\d{4}-.*Z$/);
  return line;
};

test('what the command does by itself has a line in the audit of its configuration', async () => {
  await using store = await audited();
  for (const words of [
    ['gc', 'run'],
    ['gc', 'hold'],
    ['gc', 'run'],
    ['gc', 'release'],
    ['read-only', 'on'],
  ])
    await store.run(words);
  await store.run(['read-only']);
  await store.run(['read-only', 'off']);
  await store.run(['user', 'add', 'alice'], 'a good secret\n');
  await store.run(['user', 'list']);
  await store.run(['user', 'enable', 'nobody']);
  await store.run(['token', 'create', 'ci', '--user', 'alice', '--actions', 'pull', '--repositories', '**']);
  await store.run(['token', 'revoke', '1']);
  await store.run(['keys', 'rotate']);
  await store.run(['fsck', '--repair']);
  await store.run(['tag', 'restore', 'team/app:v1']);
  const backup = `${store.root}-backup`;
  await store.run(['backup', backup]);
  await runEntrepot(['restore', backup, '--root', `${store.root}-new`], { env: store.env });
  assert.deepEqual((await store.lines()).map(withoutTime), [
    deed('task collect', 'done'),
    deed('gc hold', 'done'),
    deed('task collect', 'failed'),
    deed('gc release', 'done'),
    deed('read-only on', 'done'),
    deed('read-only off', 'done'),
    deed('user add alice', 'done'),
    deed('user enable nobody', 'failed'),
    deed('token create ci', 'done'),
    deed('token revoke 1', 'done'),
    deed('keys rotate', 'done'),
    deed('task fsck {"repair":true,"quick":false}', 'done'),
    deed('task restore-tag {"repository":"team/app","tag":"v1"}', 'failed'),
    deed(`restore the newest snapshot of ${backup}`, 'done'),
  ]);
  assert.equal((await stat(store.file)).mode & 0o777, 0o600);
  assert.ok(!(await readFile(store.file, 'utf8')).includes('a good secret'));
});

for (const workers of ['1', '2']) {
  test(`what it lets a server with ${workers} workers do has a line in the audit of the server, once`, async () => {
    await using store = await audited();
    await using server = await startEntrepot({ root: store.root, args: ['--workers', workers], env: store.env });
    // It knows of no audit itself.
    const run = (...words: string[]) => runEntrepot([...words, '--root', store.root]);
    assert.equal((await run('gc', 'run')).code, 0);
    assert.equal((await store.run(['retention', 'run'])).code, 0);
    await run('gc', 'hold');
    assert.equal((await run('gc', 'run')).code, 1);
    assert.deepEqual((await store.lines()).map(withoutTime), [
      deed('task collect', 'done'),
      deed('task retain', 'done'),
      deed('task collect', 'failed'),
    ]);
    assert.equal(await server.stop(), 0);
  });
}

test('an audit that cannot be written holds nothing up, and is told', async () => {
  await using store = await audited();
  const env = { ...store.env, ENTREPOT_ACCESS_AUDIT: path.join(store.root, 'nowhere', 'audit.log') };
  const { code, stdout, stderr } = await runEntrepot(['gc', 'hold', '--root', store.root], { env });
  assert.equal(code, 0);
  assert.match(stdout, /^nothing is removed/);
  assert.match(stderr, /^entrepot: the audit has no line about this: .*nowhere.* cannot be written \(ENOENT\)/);
});
