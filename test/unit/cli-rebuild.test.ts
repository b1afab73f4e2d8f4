import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { shapeStore, type StoreShape } from '../../bench/space/store-shape.ts';
import { writeTree } from '../../bench/space/write-tree.ts';
import { dumpIndex, queryIndex, tamper } from '../contracts/index-dump.ts';
import { runEntrepot, startCommand } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';

const UNLINKED = 5;

/** Three small repositories as another server would have left them. */
function plantStore(root: string, manifests = 9): StoreShape {
  const shape = shapeStore({ repositories: 3, blobs: manifests * 4, manifests });
  writeTree(root, shape, UNLINKED);
  return shape;
}

const removeIndex = async (root: string) => {
  for (const end of ['', '-wal', '-shm']) await rm(path.join(root, '.meta', `index.db${end}`), { force: true });
};

test('index rebuild makes the index where no server runs, and says at what rate', async () => {
  await using directory = await temporaryDirectory();
  const index = (...args: string[]) => runEntrepot(['index', ...args, '--root', directory.path]);
  assert.match((await index('rebuild')).stderr, /no registry is in .* yet: name its --root/);
  plantStore(directory.path);
  const { stdout, stderr, code } = await index('rebuild');
  assert.match(
    stdout,
    /^\d+ objects of 3 repositories in [\d.]+ s, [\d,]+ a second\n\d+ were not in the index .*, 0 rows .*\n5 blobs \([\d,]+ bytes\) that no row knew: .*\n$/,
  );
  assert.deepEqual([stderr, code], ['', 0]);
  const again = JSON.parse((await index('rebuild', '--json')).stdout) as Record<string, unknown>;
  assert.deepEqual([again['repositories'], again['corrected'], again['unknownBlobs'], again['failed']], [3, 0, 0, 0]);
  assert.ok(Number(again['objectsPerSecond']) > 0 && Number(again['seconds']) >= 0);
  for (const words of [[], ['build'], ['rebuild', 'now']]) assert.equal((await index(...words)).code, 2, words.join());
});

for (const workers of ['1', '2'])
  test(`index rebuild lets a server with ${workers} workers do it, which serves meanwhile`, async () => {
    await using directory = await temporaryDirectory();
    const { name, manifest } = plantStore(directory.path).image(0);
    await using server = await startEntrepot({ root: directory.path, args: ['--workers', workers] });
    const status = async () => (await fetch(`${server.url}/v2/${name}/manifests/v1.0`)).status;
    assert.equal(await status(), 200);
    await runEntrepot(['index', 'rebuild', '--root', directory.path]);
    const before = await dumpIndex(directory.path);
    await tamper(directory.path, 'DELETE FROM tag', 'DELETE FROM manifest', 'DELETE FROM manifest_reference');
    assert.equal(await status(), 404, 'the index alone answers');
    const { stdout, code } = await runEntrepot(['index', 'rebuild', '--json', '--root', directory.path]);
    const outcome = JSON.parse(stdout) as Record<string, unknown>;
    // 9 manifests and 12 tags.
    assert.deepEqual([code, outcome['corrected'], outcome['failed']], [0, 21, 0]);
    assert.deepEqual(await dumpIndex(directory.path), before);
    const answer = await fetch(`${server.url}/v2/${name}/manifests/latest`);
    assert.deepEqual([await status(), answer.status], [200, 200]);
    assert.ok(
      manifest.bytes.equals(Buffer.from(await (await fetch(`${server.url}/v2/${name}/manifests/v1.0`)).arrayBuffer())),
    );
    assert.equal(await server.stop(), 0);
  });

test('a rebuild that is killed in the middle is no harm: the next start and the next rebuild go on', async () => {
  await using directory = await temporaryDirectory();
  const shape = plantStore(directory.path, 600);
  const rebuild = ['index', 'rebuild', '--json', '--root', directory.path];
  await runEntrepot(rebuild);
  const whole = await dumpIndex(directory.path);
  await removeIndex(directory.path);
  {
    await using command = startCommand(process.execPath, ['cli/main.mjs', ...rebuild]);
    while ((await manifestsOf(directory.path)) < 150) await delay(1);
    const ended = once(command.child, 'exit');
    command.child.kill('SIGKILL');
    assert.deepEqual(await ended, [null, 'SIGKILL']);
  }
  const some = await manifestsOf(directory.path);
  assert.ok(some >= 150 && some < 600, `${some} manifests when it was killed`);
  await using server = await startEntrepot({ root: directory.path });
  for (let number = 0; number < shape.size.manifests; number += 50) {
    const { name, tags, manifest } = shape.image(number);
    const answer = await fetch(`${server.url}/v2/${name}/manifests/${tags[0]}`);
    assert.equal(answer.headers.get('docker-content-digest'), manifest.digest);
  }
  const { stdout, code } = await runEntrepot(rebuild);
  assert.equal(code, 0, stdout);
  assert.deepEqual(await dumpIndex(directory.path), whole);
});

/** None while there is no index. */
async function manifestsOf(root: string): Promise<number> {
  try {
    return Number((await queryIndex(root, 'SELECT count(*) AS count FROM manifest'))[0]?.['count']);
  } catch {
    return 0;
  }
}
