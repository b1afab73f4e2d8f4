import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { BucketUploads } from '../../storage/blobs/s3/bucket-uploads.ts';
import { Bucket } from '../../storage/blobs/s3/bucket.ts';
import { createClient } from '../../storage/blobs/s3/client.ts';
import { CopyWays } from '../../storage/blobs/s3/copy-ways.ts';
import { Copier } from '../../storage/blobs/s3/copy.ts';
import { Requests } from '../../storage/blobs/s3/requests.ts';
import { radosgw, seaweedfs, versitygw, type S3Server } from './s3-servers.ts';

const MIB = 1024 * 1024;
const BYTES = Buffer.concat(Array.from({ length: 150 }, (_, index) => Buffer.alloc(MIB, index)));

for (const program of [versitygw, seaweedfs, radosgw]) {
  describe(`copies within a bucket of ${program.name}`, { skip: program.missing }, () => {
    let server: S3Server;
    let requests: Requests;
    let bucket: Bucket;
    before(async () => {
      server = await program.start();
      requests = new Requests(createClient(server.options), server.options);
      bucket = new Bucket(requests);
      await bucket.put('from', BYTES);
    });
    after(async () => {
      requests.close();
      await server[Symbol.asyncDispose]();
    });

    for (const way of ['whole', 'pieces'] as const) {
      it(`have the same bytes, ${way}`, async () => {
        const ways = new CopyWays();
        if (way === 'pieces') ways.learn('whole', MIB, 1000);
        assert.equal(ways.choose(), way);
        const copier = new Copier(bucket, new BucketUploads(requests), ways);
        await copier.copy('from', way, BYTES.length);
        const copied = await bucket.get(way);
        const hash = createHash('sha256');
        for await (const chunk of copied?.body ?? []) hash.update(chunk as Buffer);
        assert.equal(hash.digest('hex'), createHash('sha256').update(BYTES).digest('hex'));
      });
    }
  });
}
