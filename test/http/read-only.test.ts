import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { before, it } from 'node:test';
import { promisify } from 'node:util';
import { PROJECT_ROOT } from '../harness/process.ts';
import type { Answer, Client } from './client.ts';
import { imageManifest, openUpload, OCI_MANIFEST, pushBlob, pushImage, withQuery } from './content.ts';
import { assertReadOnlyNow } from './refusal.ts';
import { describeService, type Setup } from './suite.ts';

const run = promisify(execFile);

interface Prepared {
  readonly image: Awaited<ReturnType<typeof pushImage>>;
  readonly upload: string;
}

async function prepare(client: Client): Promise<Prepared> {
  const image = await pushImage(client, 'images', 'v1');
  await pushBlob(client, 'images', '{}');
  return { image, upload: await openUpload(client, 'images') };
}

async function attempts(client: Client, { image, upload }: Prepared): Promise<readonly Answer[]> {
  const [blob = ''] = image.blobs;
  return [
    await client.post('/v2/images/blobs/uploads/'),
    await client.post(`/v2/images/blobs/uploads/?digest=${blob}`, 'x'),
    await client.post(`/v2/other/blobs/uploads/?mount=${blob}&from=images`),
    await client.patch(upload, 'x'),
    await client.put(withQuery(upload, `digest=${blob}`), 'x'),
    await client.delete(upload),
    await client.put('/v2/images/manifests/v2', imageManifest('{}', []), { 'Content-Type': OCI_MANIFEST }),
    await client.delete('/v2/images/manifests/v1'),
    await client.delete(`/v2/images/manifests/${image.digest}`),
    await client.delete(`/v2/images/blobs/${blob}`),
    await client.delete('/api/v1/repositories/images'),
    await client.post('/api/v1/repositories/images/tags/v1/restore'),
  ];
}

async function assertReadOnly({ client }: Setup, prepared: Prepared): Promise<void> {
  for (const answer of await attempts(client, prepared)) {
    assertReadOnlyNow(answer);
    assert.equal(answer.header('Allow'), 'GET, HEAD');
    assert.ok(Number(answer.header('Retry-After')) > 0);
  }
  assert.equal((await client.get('/v2/images/manifests/v1')).text, prepared.image.manifest);
  for (const blob of prepared.image.blobs) assert.equal((await client.get(`/v2/images/blobs/${blob}`)).status, 200);
  assert.equal((await client.get(prepared.upload)).status, 204);
  for (const path of [
    '/v2/images/tags/list',
    '/v2/_catalog',
    '/v1/search?q=images',
    `/v2/images/referrers/${prepared.image.digest}`,
  ]) {
    assert.equal((await client.get(path)).status, 200);
  }
}

describeService('read-only while it runs, by the API', {}, (setup) => {
  it('refuses every change until it is switched off', async () => {
    const prepared = await prepare(setup.client);
    const on = await setup.client.put('/api/v1/read-only', '{"readOnly":true}');
    assert.deepEqual(on.json(), { readOnly: true });
    assert.deepEqual((await setup.client.get('/api/v1/read-only')).json(), { readOnly: true });
    await assertReadOnly(setup, prepared);
    const off = await setup.client.put('/api/v1/read-only', '{"readOnly":false}');
    assert.deepEqual(off.json(), { readOnly: false });
    for (const [i, { status }] of (await attempts(setup.client, prepared)).entries())
      assert.notEqual(status, 405, `attempt ${i}`);
  });
});

describeService('read-only while it runs, by the command', {}, (setup) => {
  const command = async (...args: string[]) => {
    const line = ['cli/main.mjs', 'read-only', ...args, '--root', setup.service.root];
    return (await run(process.execPath, line, { cwd: PROJECT_ROOT })).stdout.trim();
  };

  it('refuses every change until it is switched off', async () => {
    const prepared = await prepare(setup.client);
    assert.equal(await command(), 'read-only: off');
    assert.equal(await command('on'), 'read-only: on');
    await assertReadOnly(setup, prepared);
    assert.equal(await command('off'), 'read-only: off');
    assert.equal((await setup.client.patch(prepared.upload, 'x')).status, 202);
  });
});

describeService('read-only by the configuration', { env: { ENTREPOT_READ_ONLY: 'true' } }, (setup) => {
  before(async () => {
    assert.deepEqual((await setup.client.get('/api/v1/read-only')).json(), { readOnly: true });
  });

  it('cannot be switched off by the API, and the answer says so', async () => {
    assert.deepEqual((await setup.client.put('/api/v1/read-only', '{"readOnly":false}')).json(), { readOnly: true });
    assertReadOnlyNow(await setup.client.post('/v2/images/blobs/uploads/'));
  });
});
