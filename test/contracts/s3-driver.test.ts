import { openS3Driver } from '../../storage/blobs/s3.ts';
import { startFakeS3 } from '../harness/fake-s3/server.ts';
import { describeAddresses } from './blob-addresses.ts';
import { describeBlobDriver } from './blob-driver.ts';

describeBlobDriver(
  'S3',
  async () => {
    const fake = await startFakeS3();
    return {
      open: async () => openS3Driver({ ...fake.options, prefix: 'a/prefix/' }),
      held: async () => [...fake.objects.uploads],
      [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
    };
  },
  describeAddresses,
);
