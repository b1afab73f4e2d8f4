import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { digestOfText, imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';
import { faultsOfFile } from './config-files.ts';

const OWN = 'o'.repeat(2000);
const SHARED = 's'.repeat(3000);
const [ONE, TWO] = [imageOf('{}', OWN, SHARED), imageOf('{}', SHARED)];

/** `a/one` and `a/two`, which share a layer and their config. */
async function fillStore(root: string): Promise<void> {
  await using opened = await openTestRegistry({ root });
  const { registry } = opened;
  await registry.maintenance.verifyTree(async () => {});
  for (const [to, blobs, bytes] of [
    ['a/one', ['{}', OWN, SHARED], ONE],
    ['a/two', ['{}', SHARED], TWO],
  ] as const) {
    for (const blob of blobs) await pushBlob(registry, name(to), blob);
    await registry.manifests.put(manifestPush(name(to), parseTag('v1'), bytes));
  }
}

interface Line {
  readonly selection: string;
  readonly total: number;
  readonly own: number;
  readonly shared: number;
  readonly freed: number;
}

test('du says of each repository what it takes, and of all together what is shared but once', async () => {
  await using directory = await temporaryDirectory();
  await fillStore(directory.path);
  const du = (...args: string[]) => runEntrepot(['du', ...args, '--root', directory.path]);
  const { stdout, code } = await du();
  assert.equal(code, 0);
  const [heading, one, two, sum, ...rest] = stdout.trimEnd().split('\n');
  assert.match(heading ?? '', /^ +TOTAL +OWN +SHARED +FREED BY DELETING$/);
  assert.match(one ?? '', /^a\/one +5\.\d KiB +2\.\d KiB +2\.9 KiB +2\.\d KiB$/);
  assert.match(two ?? '', /^a\/two +3\.\d KiB +\d+ B +2\.9 KiB +\d+ B$/);
  assert.match(sum ?? '', /^TOGETHER +5\.\d KiB +5\.\d KiB +0 B +5\.\d KiB$/);
  assert.deepEqual(rest, []);
  const report = JSON.parse((await du('--json')).stdout) as { lines: Line[]; sum: Line; isComplete: boolean };
  const own = OWN.length + ONE.length;
  const all = own + SHARED.length + 2 + TWO.length;
  assert.deepEqual(report.lines, [
    { selection: 'a/one', total: own + 3002, own, shared: 3002, freed: own },
    { selection: 'a/two', total: 3002 + TWO.length, own: TWO.length, shared: 3002, freed: TWO.length },
  ]);
  assert.deepEqual(report.sum, { total: all, own: all, shared: 0, freed: all });
  assert.equal(report.isComplete, true);
  const tag = JSON.parse((await du('a/one:v1', `a/two@${digestOfText(TWO)}`, '--json')).stdout) as typeof report;
  assert.deepEqual(
    tag.lines.map(({ selection, freed }) => [selection, freed]),
    [
      ['a/one:v1', own],
      [`a/two@${digestOfText(TWO)}`, TWO.length],
    ],
  );
  assert.equal(tag.sum.freed, all);
  assert.equal((JSON.parse((await du('a/t*', '--json')).stdout) as typeof report).lines.length, 1);
});

test('du says what is wrong with what it is asked', async () => {
  await using directory = await temporaryDirectory();
  const missing = await runEntrepot(['du', '--root', directory.path]);
  assert.deepEqual([missing.code, /no registry is in/.test(missing.stderr)], [1, true]);
  await fillStore(directory.path);
  for (const [word, message] of [
    ['nobody', /^entrepot: nobody: there is no such repository/],
    ['a/one:v9', /^entrepot: a\/one:v9: the repository has no such tag/],
    ['a/one@sha256:1', /sha256:1 is no digest/],
    ['A', /^entrepot: A: a repository name is made of lower-case/],
    ['b/**', /no repository fits b\/\*\*/],
    ['a/*:v*', /^entrepot: a\/\*:v\*: a pattern is of repositories, without a tag$/m],
    ['a/b:', /^entrepot: a tag is made of/m],
  ] as const) {
    const { code, stderr } = await runEntrepot(['du', word, '--root', directory.path]);
    assert.equal(code, 1, word);
    assert.match(stderr, message);
  }
});

test('quota says how full they are, beside a server that refuses what is too much', async () => {
  await using directory = await temporaryDirectory();
  await fillStore(directory.path);
  const config = path.join(directory.path, 'config.yaml');
  const quotas = '[{repositories: a/*, bytes: 1MiB, tags: 4, per: rule}, {repositories: a/*, tags: 1}]';
  await writeFile(config, `quotas: ${quotas}\n`);
  await using server = await startEntrepot({ root: directory.path, args: ['--config', config, '--workers', '2'] });
  const put = await fetch(`${server.url}/v2/a/one/manifests/v2`, { method: 'PUT', body: ONE });
  assert.equal(put.status, 403);
  assert.match(await put.text(), /the quota for each of a\/\* is full: 1 tag of 1 tag in use, this adds 1 tag/);
  const { stdout } = await runEntrepot(['quota', '--root', directory.path, '--config', config]);
  assert.match(stdout, /^REPOSITORIES +FULL +BYTES +TAGS\n/);
  assert.match(stdout, /^a\/\* \(together\) +50% +8\.\d KiB of 1\.0 MiB +2 of 4$/m);
  assert.match(stdout, /^a\/\* \(each of 2\)\n {2}a\/one +100% +5\.\d KiB +1 of 1\n {2}a\/two +100% +/m);
  const { quotas: report } = JSON.parse(
    (await runEntrepot(['quota', '--json', '--root', directory.path, '--config', config])).stdout,
  ) as { quotas: { fill: number }[] };
  assert.deepEqual(
    report.map(({ fill }) => fill),
    [0.5, 1],
  );
  const none = await runEntrepot(['quota', '--root', directory.path]);
  assert.match(none.stdout, /there are no quotas/);
});

async function faultLines(yaml: string): Promise<readonly string[]> {
  const { faults } = await faultsOfFile(yaml);
  return faults.map(({ path: key, wrong, instead }) => `${key} ${wrong} | ${instead}`);
}

test('a quota that says nothing, or too much, is a fault of the configuration', async () => {
  for (const [yaml, fault] of [
    ['quotas: [{repositories: a/*}]', /^quotas\[0\].*at least one of bytes and tags/],
    ['quotas: [{bytes: 1KiB}]', /^quotas\[0\]\.bytes .*1MiB/],
    ['quotas: [{tags: 0}]', /^quotas\[0\]\.tags /],
    ['quotas: [{tags: 1, per: tag}]', /^quotas\[0\]\.per .*repository/],
    ["quotas: [{tags: 1, repositories: 'home/{user}/*'}]", /^quotas\[0\]\.repositories /],
    ['quotas: [{tags: 1, repos: a}]', /repos/],
    ['quotas: {tags: 1}', /^quotas .*a list of quotas/],
  ] as const) {
    const faults = await faultLines(yaml);
    assert.equal(faults.length, 1, yaml);
    assert.match(faults[0] ?? '', fault);
  }
});
