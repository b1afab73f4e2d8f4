import assert from 'node:assert/strict';
import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parseTag } from '../../oci/names.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { imageOf, name, pushBlob } from '../harness/registry.ts';
import { startService } from '../harness/service.ts';

const PAGE_BYTES = 4096;
const repository = name('team/app');

async function pushImage(root: string) {
  await using service = await startService({ root });
  const { registry } = service.service;
  for (let i = 0; i < 100; i++) await pushBlob(registry, repository, `layer ${i}`);
  const bytes = imageOf(...(Array.from({ length: 100 }, (_, i) => `layer ${i}`) as [string, ...string[]]));
  const reference = { tag: parseTag('latest') };
  return await registry.manifests.put({
    name: repository,
    reference,
    tags: [],
    bytes,
    contentType: undefined,
    rights: EVERYTHING,
  });
}

/** The second half, of which nothing is read to open the file. */
async function damage(file: string): Promise<void> {
  const { size } = await stat(file);
  assert.ok(size > 10 * PAGE_BYTES, `the index has ${size} bytes only`);
  await using handle = await open(file, 'r+');
  const half = PAGE_BYTES * Math.ceil(size / PAGE_BYTES / 2);
  await handle.write(Buffer.alloc(size - half, 'Z'), 0, size - half, half);
}

test('an index whose damage shows only in use is made anew by the start after the one that met it', async () => {
  await using directory = await temporaryDirectory();
  const { digest } = await pushImage(directory.path);
  await damage(path.join(directory.path, '.meta', 'index.db'));
  await assert.rejects(startService({ root: directory.path }), /the next start makes it anew/);
  await using service = await startService({ root: directory.path });
  const answer = await fetch(`${service.url}/v2/${repository}/manifests/latest`);
  assert.equal(answer.status, 200);
  assert.equal(answer.headers.get('docker-content-digest'), digest);
  assert.match(JSON.stringify(service.log.lines), /set aside/);
});
