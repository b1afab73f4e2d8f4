import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { runEntrepot, startCommand } from '../harness/entrepot-command.ts';
import { temporaryDirectory } from '../harness/process.ts';

const USAGE: readonly (readonly [readonly string[], RegExp])[] = [
  [['sevre'], /there is no command "sevre"\. Did you mean serve\?/],
  [['constructor'], /there is no command "constructor"\. "entrepot help"/],
  [['serve', '--adress', '127.0.0.1:1'], /there is no option --adress\. Did you mean --address\?/],
  [['serve', '--workers', '-1'], /Option '--workers' argument is missing\. "entrepot help"/],
  [['serve', 'now'], /serve takes options only, not "now"/],
  [['config', 'show', 'file'], /config show takes no "file"/],
  [['config', 'check', 'a', 'b'], /config check FILE takes no "b"/],
  [['doctor', 'now'], /doctor takes no "now"/],
  [['read-only', 'on', 'off'], /read-only takes no "off"/],
  [['read-only', 'maybe'], /read-only takes on, off or nothing/],
];

test('a mistake on the command line is told in one line, and the exit code is 2', async () => {
  for (const [args, message] of USAGE) {
    const { code, stdout, stderr } = await runEntrepot(args);
    assert.deepEqual([code, stdout, stderr.trim().split('\n').length], [2, '', 1], stderr);
    assert.match(stderr, message);
  }
});

const help = async (...args: string[]) => (await runEntrepot(args)).stdout;

test('help is about everything, or about one command', async () => {
  const all = await help('--help');
  assert.match(all, /entrepot serve .*entrepot gc plan .*entrepot read-only /s);
  const gc = await help('gc', '--help');
  assert.match(gc, /entrepot gc status .*Say whether garbage .*entrepot gc hold .*entrepot gc release/s);
  assert.doesNotMatch(gc, /entrepot (?!gc)[a-z-]+ /);
  assert.match(await help('help', 'doctor'), /Usage\n  entrepot doctor\n      Look for/);
  assert.equal(await help('help', '['), all);
});

test('read-only that could not be switched is no success', async () => {
  await using directory = await temporaryDirectory();
  const root = ['--root', directory.path];
  const nowhere = await runEntrepot(['read-only', 'on', ...root]);
  assert.deepEqual([nowhere.code, nowhere.stdout], [1, '']);
  assert.match(nowhere.stderr, /no registry is in .* yet/);
  const configured = await runEntrepot(['read-only', 'off', ...root], { env: { ENTREPOT_READ_ONLY: 'true' } });
  assert.deepEqual([configured.code, configured.stdout], [1, '']);
  assert.match(configured.stderr, /readOnly is true in the configuration/);
  const memory = await runEntrepot(['read-only', 'on', ...root], { env: { ENTREPOT_STORAGE_DRIVER: 'memory' } });
  assert.equal(memory.code, 1);
});

/** Starts an upload whose body stops in the middle; the function sends the rest and returns the answer's first line. */
async function slowUpload(url: string): Promise<() => Promise<string>> {
  const session = await fetch(`${url}/v2/slow/blobs/uploads/`, { method: 'POST' });
  const { port, hostname } = new URL(url);
  const socket = connect(Number(port), hostname);
  const head = `PATCH ${session.headers.get('location')} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345`;
  socket.write(head);
  await new Promise((resolve) => setTimeout(resolve, 100));
  return async () => {
    socket.write('67890');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    return answer.toString('latin1').split('\r\n')[0] ?? '';
  };
}

test('Ctrl-C that arrives twice, from the terminal and from npm, lets running requests finish', async () => {
  await using directory = await temporaryDirectory();
  const args = ['cli/main.mjs', 'serve', '--address', '127.0.0.1:0', '--root', directory.path];
  await using server = startCommand(process.execPath, args);
  const [, url = ''] = /(http:\/\/127\.0\.0\.1:\d+)/.exec(await server.until(/listening on .*\n/)) ?? [];
  const finish = await slowUpload(url);
  process.kill(-(server.child.pid ?? 0), 'SIGINT');
  await new Promise((resolve) => setTimeout(resolve, 50));
  server.child.kill('SIGINT');
  await server.until(/draining/);
  assert.equal(await finish(), 'HTTP/1.1 202 Accepted');
  assert.equal((await server.result).code, 0);
});

test('npm start passes SIGTERM on to the server', async () => {
  await using directory = await temporaryDirectory();
  const options = ['--address', '127.0.0.1:0', '--root', directory.path];
  await using npm = startCommand('npm', ['start', '--', ...options]);
  await npm.until(/listening on .*\n/);
  npm.child.kill('SIGTERM');
  const { stdout } = await npm.result;
  assert.match(stdout, /"stopped"/);
});
