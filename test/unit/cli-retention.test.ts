import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { imageOf, manifestPush, name, openTestRegistry, pushBlob } from '../harness/registry.ts';

const RULES = `
retention:
  tags:
    - {repositories: ci/**, tags: build-*, keepNewest: 1}
`;

async function storeWithBuilds(root: string): Promise<string> {
  let now = Date.now() - 3_600_000;
  await using opened = await openTestRegistry({ root, now: () => (now += 1000) });
  for (const build of ['build-1', 'build-2', 'release']) {
    await pushBlob(opened.registry, name('ci/app'), build);
    await opened.registry.manifests.put(manifestPush(name('ci/app'), parseTag(build), imageOf(build)));
  }
  const config = path.join(root, 'config.yaml');
  await writeFile(config, RULES);
  return config;
}

const BUILD_BYTES = 'build-1'.length + imageOf('build-1').length;

test('retention preview says what goes and why, and run does that', async () => {
  await using directory = await temporaryDirectory();
  const config = await storeWithBuilds(directory.path);
  const retention = (...args: string[]) =>
    runEntrepot(['retention', ...args, '--root', directory.path, '--config', config]);
  const { stdout } = await retention('preview');
  assert.match(stdout, /^IMAGE +WOULD +BECAUSE\n/);
  assert.match(stdout, /^ci\/app:build-1 +goes +rule 1: number 2, 1 are kept$/m);
  assert.match(stdout, /^ci\/app:build-2 +stays +rule 1: number 1 of the newest 1$/m);
  assert.match(stdout, /^ci\/app:release +stays +no rule fits$/m);
  const sum = `1 tags and 1 manifests would go, and free ${BUILD_BYTES} bytes in the end; nothing was changed\n`;
  assert.ok(stdout.endsWith(sum), stdout);
  assert.match((await retention('preview', 'other/**')).stdout, /^0 tags and 0 manifests would go/);
  const json = JSON.parse((await retention('preview', '--json')).stdout) as { tags: number; bytes: number };
  assert.deepEqual([json.tags, json.bytes], [1, BUILD_BYTES]);
  const ran = await retention('run');
  assert.deepEqual([ran.stdout, ran.code], ['1 tags and 1 manifests removed in 1 repositories\n', 0]);
  const history = await runEntrepot(['tag', 'history', 'ci/app:build-1', '--root', directory.path]);
  assert.match(history.stdout, /retention/);
});

test('retention is asked of a server that runs, by its rules', async () => {
  await using directory = await temporaryDirectory();
  const config = await storeWithBuilds(directory.path);
  await using server = await startEntrepot({ root: directory.path, args: ['--config', config, '--workers', '2'] });
  const { stdout } = await runEntrepot(['retention', 'run', '--root', directory.path]);
  assert.equal(stdout, '1 tags and 1 manifests removed in 1 repositories\n');
  const { tags } = (await (await fetch(`${server.url}/v2/ci/app/tags/list`)).json()) as { tags: string[] };
  assert.deepEqual(tags, ['build-2', 'release']);
});

test('retention preview shows what a file would do before the server is started with it', async () => {
  await using directory = await temporaryDirectory();
  const config = await storeWithBuilds(directory.path);
  await using server = await startEntrepot({ root: directory.path });
  const retention = (...args: string[]) => runEntrepot(['retention', ...args, '--root', directory.path]);
  const { stdout } = await retention('preview', '--config', config);
  assert.match(stdout, /^ci\/app:build-1 +goes +rule 1/m);
  assert.match(stdout, /^the server follows other rules until it is started again$/m);
  const run = await retention('run', '--config', config);
  assert.equal(run.code, 1);
  assert.match(
    run.stderr,
    /^entrepot: the server follows other rules than those of this configuration: start it again/,
  );
  const none = /^there are no rules, .*--config names the file/m;
  assert.match((await retention('preview')).stdout, none);
  assert.match((await retention('run')).stdout, none);
  const { tags } = (await (await fetch(`${server.url}/v2/ci/app/tags/list`)).json()) as { tags: string[] };
  assert.equal(tags.length, 3);
});

test('retention says what is wrong with what was asked', async () => {
  await using directory = await temporaryDirectory();
  await storeWithBuilds(directory.path);
  const retention = (...args: string[]) => runEntrepot(['retention', ...args, '--root', directory.path]);
  const pattern = await retention('preview', 'Team/**');
  assert.deepEqual(
    [pattern.code, /"Team\/\*\*" is no pattern of repositories, such as/.test(pattern.stderr)],
    [1, true],
  );
  const verb = await retention('sweep');
  assert.deepEqual([verb.code, /retention has these verbs: preview \[PATTERN\], run/.test(verb.stderr)], [2, true]);
  assert.equal((await retention('run', 'x')).code, 2);
  await runEntrepot(['read-only', 'on', '--root', directory.path]);
  assert.match((await retention('run')).stderr, /the registry is read-only/);
});
