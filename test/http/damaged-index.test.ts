import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
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

/** The first pages of tables with content, of which nothing is read to open the file. */
async function damage(file: string): Promise<void> {
  const pages = pagesOf(file, ['repository', 'blob', 'manifest', 'tag']);
  await using handle = await open(file, 'r+');
  for (const page of pages) await handle.write(Buffer.alloc(PAGE_BYTES, 'Z'), 0, PAGE_BYTES, (page - 1) * PAGE_BYTES);
}

function pagesOf(file: string, tables: readonly string[]): readonly number[] {
  using database = new DatabaseSync(file);
  const statement = database.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?');
  return tables.map((table) => Number(statement.get(table)?.['rootpage'] ?? assert.fail(table)));
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
