import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { HashThread } from '../../registry/hash-thread.ts';
import { UploadDigest } from '../../registry/upload-digest.ts';

const MEBIBYTE = 1024 * 1024;

function digestOf(algorithm: string, bytes: Uint8Array): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`;
}

/** The bytes in pieces of their own, as a connection gives them, and one that lies inside of a larger piece. */
function chunksOf(bytes: Buffer): Uint8Array[] {
  const cut = Math.floor(bytes.length / 3);
  return [
    new Uint8Array(bytes.subarray(0, cut)),
    new Uint8Array(bytes.subarray(cut, 2 * cut)),
    bytes.subarray(2 * cut),
  ];
}

const nothing = async () => {};

describe('a digest in the thread', () => {
  for (const algorithm of ['sha256', 'sha512'] as const) {
    it(`is that of everything so far, and goes on: ${algorithm}`, async () => {
      const thread = new HashThread();
      const bytes = randomBytes(3 * MEBIBYTE);
      const digest = thread.open(algorithm);
      await digest.update(chunksOf(bytes.subarray(0, MEBIBYTE)));
      assert.equal(await digest.current(), digestOf(algorithm, bytes.subarray(0, MEBIBYTE)));
      await digest.update(chunksOf(bytes.subarray(MEBIBYTE)));
      assert.equal(await digest.current(), digestOf(algorithm, bytes));
      digest.end();
      await thread.close();
    });
  }

  it('does not mix with another', async () => {
    const thread = new HashThread();
    const contents = [randomBytes(MEBIBYTE), randomBytes(MEBIBYTE)];
    const digests = contents.map(() => thread.open('sha256'));
    await Promise.all(digests.map(async (digest, i) => digest.update(chunksOf(contents[i] ?? Buffer.alloc(0)))));
    const computed = await Promise.all(digests.map(async (digest) => digest.current()));
    assert.deepEqual(
      computed,
      contents.map((content) => digestOf('sha256', content)),
    );
    await thread.close();
  });

  it('is lost with the thread, which starts again for the next', async () => {
    const thread = new HashThread();
    const lost = thread.open('sha256');
    await lost.update(chunksOf(randomBytes(MEBIBYTE)));
    await thread.close();
    await assert.rejects(lost.current());
    lost.end();
    const bytes = randomBytes(MEBIBYTE);
    const next = thread.open('sha256');
    await next.update(chunksOf(bytes));
    assert.equal(await next.current(), digestOf('sha256', bytes));
    await thread.close();
  });
});

describe('the digest of an upload', () => {
  it('is right for small and large batches, written before their memory is gone', async () => {
    const thread = new HashThread();
    for (const size of [100, MEBIBYTE]) {
      const bytes = randomBytes(size);
      const digest = new UploadDigest('sha256', thread);
      const written: Uint8Array[] = [];
      for (let i = 0; i < 3; i++) {
        const chunks = chunksOf(bytes);
        await digest.append(chunks, async () => void written.push(Buffer.concat(chunks)));
      }
      assert.ok(Buffer.concat(written).equals(Buffer.concat([bytes, bytes, bytes])));
      assert.equal(await digest.current(), digestOf('sha256', Buffer.concat([bytes, bytes, bytes])));
      digest.end();
    }
    await thread.close();
  });

  const skip = !HashThread.isWorthIt && 'with one core no upload gets a thread';

  it('is undefined when its thread was lost, so that the bytes are hashed again', { skip }, async () => {
    const thread = new HashThread();
    const digest = new UploadDigest('sha256', thread);
    await digest.append(chunksOf(randomBytes(MEBIBYTE)), nothing);
    await thread.close();
    await digest.append(chunksOf(randomBytes(MEBIBYTE)), nothing);
    assert.equal(await digest.current(), undefined);
  });

  it('tells of a failed write', async () => {
    const thread = new HashThread();
    const digest = new UploadDigest('sha256', thread);
    const failing = digest.append(chunksOf(randomBytes(MEBIBYTE)), async () => Promise.reject(new Error('disk')));
    await assert.rejects(failing, /disk/);
    await thread.close();
  });
});
