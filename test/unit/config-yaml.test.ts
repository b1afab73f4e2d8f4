import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readConfig } from '../../config/load.ts';
import { faultsOfFile, withFile } from './config-files.ts';

test('YAML: nothing at all is fine, and so are anchors, merges and keys without a value', async () => {
  const defaults = await readConfig({ cwd: '/x' });
  for (const yaml of ['', '# nothing\n', '---\n', 'http:\nlog:\n  level:\n', '{}']) {
    assert.deepEqual(await withFile(yaml, ({ flags = {} }) => readConfig({ flags, cwd: '/x' })), defaults, yaml);
  }
  const shared = 'http: {headersTimeout: &t 9s, keepAliveTimeout: *t, minimumRate: &r {over: 5s}}\n';
  const config = await withFile(shared, (input) => readConfig(input));
  assert.deepEqual([config.http.headersTimeoutMs, config.http.keepAliveTimeoutMs], [9000, 9000]);
});

test('YAML: what is no map of keys is refused with its place', async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['- a\n', /config\.yaml: it holds something else than keys with values/],
    ['text', /it holds something else than keys/],
    ['a: [1\nb: 2', /config\.yaml:\d: this is not YAML/],
    ['readOnly: true\nroot: /a\nreadOnly: false\n', /config\.yaml:3: this key is set a second time/],
    ['readOnly: true\n---\nreadOnly: false\n', /this is not YAML/],
    ['a: 1\nroot: *\n', /config\.yaml:2: a value that begins with \* has to be in quotes/],
    ['a: 1\nroot: **\n', /config\.yaml:2: a value that begins with \* has to be in quotes/],
    ['access: {rules: [{who: a, actions: pull, tags: *latest}]}\n', /config\.yaml:1: a value that begins with \*/],
    ['root: !secret abc\n', /config\.yaml:1: this is not YAML: Unresolved tag/],
    ['root: *nobody\n', /has to be in quotes/],
    ['__proto__: {readOnly: true}\n', /__proto__ \(.*:1\): there is no such key/],
    ['5: x\n', /5 \(.*config\.yaml:1\): there is no such key/],
  ];
  for (const [yaml, expected] of cases) assert.match((await faultsOfFile(yaml)).message, expected, yaml);
});

test('a key set twice does not hide the other faults', async () => {
  const { faults } = await faultsOfFile('log: {level: loud}\nroot: a\nroot: b\n');
  assert.deepEqual(
    faults.map(({ wrong }) => wrong),
    ['this key is set a second time', '"loud" will not do'],
  );
});

test('aliases that multiply do not take the memory', async () => {
  const lines = ['a: &a0 [x,x,x,x,x,x,x,x,x,x]'];
  for (let i = 1; i < 12; i++)
    lines.push(
      `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(',')}]`,
    );
  assert.match((await faultsOfFile(lines.join('\n'))).message, /alias/i);
});
