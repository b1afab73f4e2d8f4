import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import { digestOf } from '../harness/push.ts';
import { startEntrepot } from '../harness/process.ts';
import { Store } from './stores.ts';

const LAYERS = 3000;

for (const workers of ['1', '2']) {
  it(`a server that is stopped while it compares a large repository ends in order, with ${workers} at work`, async () => {
    await using store = await Store.create();
    for (let index = 0; index < LAYERS; index++) await plantLayer(store, 'large', Buffer.from(String(index)));
    await using server = await startEntrepot({ root: store.root, args: ['--workers', workers] });
    assert.equal(await server.stop(), 0);
    assert.ok(!server.output().includes('agrees with the tree'), 'it was through already: make the repository larger');
    assert.doesNotMatch(server.output(), /"level":"(?:warn|error|fatal)"/);
  });
}

async function plantLayer(store: Store, name: string, bytes: Uint8Array): Promise<void> {
  const digest = digestOf(bytes);
  const hex = digest.slice('sha256:'.length);
  const files = {
    [store.pathOf('blobs/sha256', hex.slice(0, 2), hex, 'data')]: bytes,
    [store.pathOf('repositories', name, '_layers/sha256', hex, 'link')]: digest,
  };
  for (const [file, content] of Object.entries(files)) {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
  }
}
