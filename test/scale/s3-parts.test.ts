import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { BucketUploads } from '../../storage/blobs/s3/bucket-uploads.ts';
import { createClient } from '../../storage/blobs/s3/client.ts';
import { Requests } from '../../storage/blobs/s3/requests.ts';
import { radosgw, seaweedfs, versitygw, type S3Server } from './s3-servers.ts';

const [OURS, THEIRS, MORE] = [1, 2, 3].map((byte) => Buffer.alloc(5 * 1024 * 1024, byte)) as [Buffer, Buffer, Buffer];

for (const program of [versitygw, seaweedfs, radosgw]) {
  describe(`the parts of an upload to ${program.name}`, { skip: program.missing }, () => {
    let server: S3Server;
    let requests: Requests;
    before(async () => {
      server = await program.start();
      requests = new Requests(createClient(server.options), server.options);
    });
    after(async () => {
      requests.close();
      await server[Symbol.asyncDispose]();
    });

    it('are listed once each, also one that was sent twice', async () => {
      const uploads = new BucketUploads(requests);
      const upload = await uploads.create('twice');
      for (const bytes of [OURS, OURS]) await uploads.putPart(upload, 1, bytes);
      await uploads.putPart(upload, 2, MORE);
      assert.deepEqual(
        (await uploads.parts(upload))?.map(({ number, size }) => [number, size]),
        [
          [1, OURS.length],
          [2, MORE.length],
        ],
      );
    });

    it('are never those of somebody else: where it cannot be known whose a part is, the list ends before it', async () => {
      const uploads = new BucketUploads(requests);
      const upload = await uploads.create('others');
      const first = await uploads.putPart(upload, 1, MORE);
      await uploads.putPart(upload, 2, THEIRS);
      const ours = await uploads.putPart(upload, 2, OURS);
      const third = await uploads.putPart(upload, 3, MORE);
      const listed = (await uploads.parts(upload))?.map(({ etag }) => etag);
      const all = [first, ours, third].map(({ etag }) => etag);
      assert.ok([1, 3].includes(listed?.length ?? 0), `${listed?.length} parts`);
      assert.deepEqual(listed, all.slice(0, listed?.length));
    });
  });
}
