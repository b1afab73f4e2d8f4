import { after, before, describe } from 'node:test';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { describeBlobDriver } from '../contracts/blob-driver.ts';
import { versitygw, type S3Server } from './s3-servers.ts';

for (const program of [versitygw]) {
  describe(`the S3 driver over ${program.name}`, { skip: program.missing }, () => {
    let server: S3Server;
    let stores = 0;
    before(async () => {
      server = await program.start();
    });
    after(async () => server[Symbol.asyncDispose]());

    describeBlobDriver(program.name, async () => {
      const prefix = `store-${stores++}/`;
      return {
        open: async () => openS3Driver({ ...server.options, prefix }),
        held: async () => [],
        [Symbol.asyncDispose]: async () => undefined,
      };
    });
  });
}
