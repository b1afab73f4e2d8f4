import assert from 'node:assert/strict';
import { it } from 'node:test';
import { bytesOf, digestOf, imageManifest, openUpload, pushBlob, putManifest, tagsOf, withQuery } from './content.ts';
import { describeOnDrivers } from './suite.ts';

const MEBIBYTE = 1024 * 1024;
// No multiple of any buffer.
const LARGE = bytesOf(20 * MEBIBYTE + 4321, 'a large layer');
const DIGEST = digestOf(LARGE);

async function* inChunks(size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < LARGE.length; at += size) yield LARGE.subarray(at, at + size);
}

describeOnDrivers('20 MiB, byte for byte', (setup) => {
  const assertHas = async (name: string, digest = DIGEST) => {
    const { bytes } = await setup.client.get(`/v2/${name}/blobs/${digest}`);
    assert.ok(bytes.equals(LARGE), `${bytes.length} bytes came back`);
  };

  it('in one request', async () => {
    await pushBlob(setup.client, 'large/post', LARGE);
    await assertHas('large/post');
  });

  it('in one request, by sha512', async () => {
    await assertHas('large/sha512', await pushBlob(setup.client, 'large/sha512', LARGE, 'sha512'));
  });

  it('in one stream without a length, as docker sends it', async () => {
    const location = await openUpload(setup.client, 'large/stream');
    assert.equal((await setup.client.patch(location, inChunks(100_000))).status, 202);
    assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
    await assertHas('large/stream');
  });

  it('with the closing PUT, as containerd sends it', async () => {
    const location = await openUpload(setup.client, 'large/put');
    assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`), LARGE)).status, 201);
    await assertHas('large/put');
  });

  it('in chunks with Content-Range', async () => {
    const location = await openUpload(setup.client, 'large/chunks');
    const size = 3 * MEBIBYTE + 17;
    for (let at = 0; at < LARGE.length; at += size) {
      const chunk = LARGE.subarray(at, at + size);
      const headers = { 'Content-Range': `${at}-${at + chunk.length - 1}` };
      assert.equal((await setup.client.patch(location, chunk, headers)).status, 202);
    }
    assert.equal((await setup.client.put(withQuery(location, `digest=${DIGEST}`))).status, 201);
    await assertHas('large/chunks');
  });

  it('in ranges, many at once, as newer clients pull', async () => {
    const size = 4 * MEBIBYTE;
    await pushBlob(setup.client, 'large/ranges', LARGE);
    const starts = Array.from({ length: Math.ceil(LARGE.length / size) }, (_, i) => i * size);
    const parts = await Promise.all(
      starts.map((start) =>
        setup.client.get(`/v2/large/ranges/blobs/${DIGEST}`, { Range: `bytes=${start}-${start + size - 1}` }),
      ),
    );
    assert.ok(Buffer.concat(parts.map(({ bytes }) => bytes)).equals(LARGE));
  });

  it('pushed by 16 clients at once, all of which succeed', async () => {
    const content = LARGE.subarray(0, 2 * MEBIBYTE);
    const push = async (i: number) => {
      if (i % 2 === 0) return pushBlob(setup.client, 'large/many', content);
      const location = await openUpload(setup.client, 'large/many');
      assert.equal((await setup.client.patch(location, content)).status, 202);
      const digest = digestOf(content);
      assert.equal((await setup.client.put(withQuery(location, `digest=${digest}`))).status, 201);
      return digest;
    };
    const digests = await Promise.all(Array.from({ length: 16 }, (_, i) => push(i)));
    assert.equal(new Set(digests).size, 1);
    assert.ok((await setup.client.get(`/v2/large/many/blobs/${digests[0]}`)).bytes.equals(content));
  });

  it('whole images pushed by 16 clients at once, all of which succeed', async () => {
    const push = async (i: number) => {
      await pushBlob(setup.client, 'large/images', '{}');
      await pushBlob(setup.client, 'large/images', 'the same layer');
      const manifest = imageManifest('{}', ['the same layer']);
      for (const tag of ['latest', `build-${i}`]) {
        assert.equal((await putManifest(setup.client, 'large/images', tag, manifest)).status, 201);
      }
      return manifest;
    };
    const [manifest] = await Promise.all(Array.from({ length: 16 }, (_, i) => push(i)));
    assert.equal((await tagsOf(setup.client, 'large/images')).length, 17);
    assert.equal((await setup.client.get('/v2/large/images/manifests/latest')).text, manifest);
  });
});
