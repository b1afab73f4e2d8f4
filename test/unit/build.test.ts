import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Client } from '../http/client.ts';
import { bytesOf, pushBlob } from '../http/content.ts';
import { freePort, PROJECT_ROOT, startServer, temporaryDirectory } from '../harness/process.ts';

const run = promisify(execFile);

/** `npm run build` into a directory that is removed in the end, beside the packages that the build needs. */
async function build(): Promise<{ path: string } & AsyncDisposable> {
  const directory = await mkdtemp(path.join(PROJECT_ROOT, 'node_modules', '.build-'));
  // What tells Node that these are ES modules lies above `dist` in the image.
  await writeFile(path.join(directory, 'package.json'), '{"type": "module", "version": "0.0.0"}');
  const dist = path.join(directory, 'dist');
  await run('npm', ['run', 'build', '--', '--outDir', dist], { cwd: PROJECT_ROOT });
  return { path: dist, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}

test('what npm run build makes starts by itself, and takes and gives small and large blobs', async () => {
  await using dist = await build();
  await using directory = await temporaryDirectory();
  const host = `127.0.0.1:${await freePort()}`;
  const args = [path.join(dist.path, 'cli/main.mjs'), 'serve', '--address', host, '--root', directory.path];
  await using server = await startServer(process.execPath, [...args, '--workers', '2'], host);
  const client = new Client(server.url);
  for (const size of [100, 5_000_000]) {
    const content = bytesOf(size, 'built');
    const digest = await pushBlob(client, 'built', content);
    assert.ok((await client.get(`/v2/built/blobs/${digest}`)).bytes.equals(content));
  }
  assert.equal((await client.get('/v2/_catalog')).text, '{"repositories":["built"]}');
  assert.equal((await client.get('/livez')).status, 200);
  client.close();
  assert.equal(await server.stop(), 0);
});
