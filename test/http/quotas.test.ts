import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Client } from './client.ts';
import {
  bytesOf,
  digestOf,
  imageManifest,
  openUpload,
  pushBlob,
  pushImage,
  putManifest,
  withQuery,
} from './content.ts';
import { assertNoRoom } from './refusal.ts';
import { describeOnDrivers } from './suite.ts';

const QUOTAS = [
  { repositories: 'small/**', bytes: '1MiB' },
  { repositories: 'shared/**', bytes: '1MiB', per: 'rule' },
  { repositories: ['few/*', 'fewer/*'], tags: 2 },
];
const MIB = 1024 * 1024;
const env = { ENTREPOT_QUOTAS: JSON.stringify(QUOTAS) };
const chunked = (bytes: Buffer) =>
  (async function* () {
    for (let i = 0; i < bytes.length; i += 65536) yield bytes.subarray(i, i + 65536);
  })();

/** The ways in which a blob comes in; the answer to the request that is refused, or to the last. */
const WAYS: Readonly<
  Record<string, (client: Client, name: string, bytes: Buffer) => Promise<Awaited<ReturnType<Client['put']>>>>
> = {
  'a single POST': (client, name, bytes) => client.post(`/v2/${name}/blobs/uploads/?digest=${digestOf(bytes)}`, bytes),
  'a single POST of unknown length': (client, name, bytes) =>
    client.post(`/v2/${name}/blobs/uploads/?digest=${digestOf(bytes)}`, chunked(bytes)),
  'a monolithic PUT': async (client, name, bytes) =>
    client.put(withQuery(await openUpload(client, name), `digest=${digestOf(bytes)}`), bytes),
  'a monolithic PUT of unknown length': async (client, name, bytes) =>
    client.put(withQuery(await openUpload(client, name), `digest=${digestOf(bytes)}`), chunked(bytes)),
  'a PATCH': async (client, name, bytes) => {
    const location = await openUpload(client, name);
    const patched = await client.patch(location, bytes);
    if (patched.status !== 202) return patched;
    return client.put(withQuery(patched.header('Location'), `digest=${digestOf(bytes)}`));
  },
  'a PATCH of unknown length': async (client, name, bytes) => {
    const location = await openUpload(client, name);
    const patched = await client.patch(location, chunked(bytes));
    if (patched.status !== 202) return patched;
    return client.put(withQuery(patched.header('Location'), `digest=${digestOf(bytes)}`));
  },
  'two chunks': async (client, name, bytes) => {
    const half = bytes.length / 2;
    let location = await openUpload(client, name);
    for (const start of [0, half]) {
      const headers = { 'Content-Range': `${start}-${start + half - 1}` };
      const patched = await client.send('PATCH', location, { headers, body: bytes.subarray(start, start + half) });
      if (patched.status !== 202) return patched;
      location = patched.header('Location');
    }
    return client.put(withQuery(location, `digest=${digestOf(bytes)}`));
  },
};

describeOnDrivers(
  'a quota',
  (setup) => {
    for (const [way, push] of Object.entries(WAYS)) {
      it(`lets nothing too large in by ${way}, and what fits exactly`, async () => {
        const name = `small/${way.toLowerCase().replaceAll(' ', '-')}`;
        const answer = await push(setup.client, name, bytesOf(MIB + 2, way));
        assertNoRoom(answer, /^the quota for each of small\/\*\* would be exceeded: 0 B of 1\.0 MiB in use/);
        const fitting = bytesOf(MIB, way);
        assert.equal((await push(setup.client, name, fitting)).status, 201);
        // What is there already takes no room; nothing else has any.
        const again = `/v2/${name}/blobs/uploads/?digest=${digestOf(fitting)}`;
        assert.equal((await setup.client.post(again, fitting)).status, 201);
        assertNoRoom(await setup.client.post(`/v2/${name}/blobs/uploads/`), /is full: 1\.0 MiB of 1\.0 MiB in use/);
      });
    }

    it('lets no mount in and no manifest, and says how full it is', async () => {
      const { client } = setup;
      const image = await pushImage(client, 'elsewhere', 'v1');
      const filler = bytesOf(MIB - 20, 'filler');
      await pushBlob(client, 'small/mounted', filler);
      for (const blob of image.blobs.slice(1)) {
        const mount = `/v2/small/mounted/blobs/uploads/?mount=${blob}&from=elsewhere`;
        assert.equal((await client.post(mount)).status, 201);
        assert.equal((await client.post(mount)).status, 201);
      }
      const [config] = image.blobs;
      const refused = await client.post(`/v2/small/mounted/blobs/uploads/?mount=${config}&from=elsewhere`);
      const { detail } = assertNoRoom(
        refused,
        /delete images by their digests, or ask who runs this registry for more$/,
      );
      assert.deepEqual(detail['quota'], { repositories: ['small/**'], per: 'repository', bytes: MIB });
      assert.deepEqual(
        [detail['used'], detail['asked'], detail['limit']],
        [MIB - 20 + 'layer of v1'.length, '{"config of":"v1"}'.length, MIB],
      );
      const manifest = imageManifest('{}', []);
      await pushBlob(client, 'small/mounted', '{}');
      assertNoRoom(await putManifest(client, 'small/mounted', 'v1', manifest), /this adds \d+ B/);
      assert.equal((await client.get('/v2/small/mounted/manifests/v1')).status, 404);
    });

    it('counts new tags, by path and by ?tag=', async () => {
      const { client } = setup;
      const first = await pushImage(client, 'few/a', 'v1');
      assert.equal((await putManifest(client, 'few/a', 'v2', first.manifest)).status, 201);
      assert.equal((await putManifest(client, 'few/a', 'v2', first.manifest)).status, 201);
      assertNoRoom(
        await putManifest(client, 'few/a', 'v3', first.manifest),
        /^the quota for each of few\/\*, fewer\/\* is full: 2 tags of 2 tags in use, this adds 1 tag/,
      );
      const byDigest = `${first.digest}?tag=v1&tag=v3`;
      assertNoRoom(await putManifest(client, 'few/a', byDigest, first.manifest), /this adds 1 tag/);
      assert.equal((await client.delete('/v2/few/a/manifests/v2')).status, 202);
      assert.equal((await putManifest(client, 'few/a', byDigest, first.manifest)).status, 201);
      await pushImage(client, 'fewer/b', 'v1');
    });

    it('is not exceeded by pushes at the same time', async () => {
      const blobs = Array.from({ length: 12 }, (_, i) => bytesOf(MIB / 4 - 100, `concurrent ${i}`));
      const answers = await Promise.all(
        blobs.map((blob, i) => setup.client.post(`/v2/shared/${i % 3}/blobs/uploads/?digest=${digestOf(blob)}`, blob)),
      );
      const refused = answers.filter(({ status }) => status !== 201);
      assert.equal(refused.length, 8);
      for (const answer of refused) assertNoRoom(answer, /for all of shared\/\*\* would be exceeded/);
    });

    it('is shown with how full it is', async () => {
      const { client } = setup;
      await pushImage(client, 'few/z', 'v1');
      const { quotas } = (await client.get('/api/v1/quotas')).json() as { quotas: Record<string, unknown>[] };
      assert.deepEqual(
        quotas.map(({ repositories, per, bytes, tags }) => ({ repositories, per, bytes, tags })),
        [
          { repositories: ['small/**'], per: 'repository', bytes: MIB, tags: undefined },
          { repositories: ['shared/**'], per: 'rule', bytes: MIB, tags: undefined },
          { repositories: ['few/*', 'fewer/*'], per: 'repository', bytes: undefined, tags: 2 },
        ],
      );
      assert.deepEqual([quotas[0]?.['fill'], quotas[0]?.['fitting']], [1, 8]);
      assert.deepEqual([quotas[1]?.['used'], quotas[1]?.['fitting']], [{ bytes: MIB - 400, tags: 0 }, 3]);
      const fullest = quotas[2]?.['fullest'] as { name: string; fill: number }[];
      assert.deepEqual(
        fullest.map(({ name, fill }) => [name, fill]),
        [
          ['few/a', 1],
          ['fewer/b', 0.5],
          ['few/z', 0.5],
        ],
      );
    });
  },
  { env },
);
