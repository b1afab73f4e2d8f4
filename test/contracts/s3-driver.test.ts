import { openS3Driver } from '../../storage/blobs/s3.ts';
import { startFakeS3 } from '../harness/fake-s3/server.ts';
import { describeAddresses } from './blob-addresses.ts';
import { describeBlobDriver } from './blob-driver.ts';
import { deferring, describeDeferredCopies } from './deferred-copies.ts';

const FENCES = [
  ['S3', undefined],
  ['S3 behind a fence', () => ({ leftMs: () => 60_000 })],
] as const;

for (const [name, fence] of FENCES) {
  const openStore = async () => {
    const fake = await startFakeS3();
    return {
      open: async () => openS3Driver({ ...fake.options, prefix: 'a/prefix/' }, fence),
      held: async () => [...fake.objects.uploads],
      [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
    };
  };
  describeBlobDriver(name, openStore, describeAddresses);
}

describeBlobDriver(
  'S3, every copy deferred',
  async () => {
    const fake = await startFakeS3();
    return {
      open: async () => deferring(openS3Driver({ ...fake.options, prefix: 'a/prefix/', deferCopiesFromBytes: 1 })),
      held: async () => [...fake.objects.uploads],
      [Symbol.asyncDispose]: () => fake[Symbol.asyncDispose](),
    };
  },
  describeDeferredCopies,
);
