import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { readConfig } from '../../config/load.ts';
import { rootMeantBy, RootIsWithinStore } from '../../server/root-level.ts';
import { lockRoot } from '../../server/root-lock.ts';
import { startServer } from '../../server/main.ts';
import { temporaryDirectory } from '../harness/process.ts';

describe('a root', () => {
  for (const level of ['docker', 'docker/registry', 'docker/registry/v2']) {
    it(`that is ${level} of a store is refused, with the root that was meant`, async () => {
      await using directory = await storeDirectory();
      const root = path.join(directory.path, level);
      assert.equal(rootMeantBy(root), directory.path);
      const config = await readConfig({ flags: { address: '127.0.0.1:0', root, workers: '1' }, env: {} });
      await assert.rejects(startServer(config), (error) => {
        assert.ok(error instanceof RootIsWithinStore);
        assert.ok(error.message.endsWith(` ${directory.path}`), error.message);
        return true;
      });
      assert.ok(!existsSync(path.join(root, '.meta')), 'nothing was made there');
    });
  }

  it('that holds a store, or nothing, is what was meant', async () => {
    await using directory = await storeDirectory();
    for (const root of [directory.path, path.join(directory.path, 'docker/registry/v2/blobs'), '/nonexistent'])
      assert.equal(rootMeantBy(root), undefined);
  });

  it('that cannot be written to is refused in words that name it and the cause', async () => {
    await using directory = await temporaryDirectory();
    const root = path.join(directory.path, 'a-file');
    await writeFile(root, '');
    assert.throws(() => lockRoot(root), /^RootUnusable: cannot use the root \S+\/a-file: a file is in its place/);
  });
});

async function storeDirectory() {
  const directory = await temporaryDirectory();
  for (const part of ['blobs', 'repositories'])
    await mkdir(path.join(directory.path, 'docker/registry/v2', part), { recursive: true });
  return directory;
}
