/** A program of the tests: writes an object, and stops itself when the request is signed and not yet sent. */
import { StorageError } from '../../storage/blobs/driver.ts';
import { Bucket } from '../../storage/blobs/s3/bucket.ts';
import { createClient } from '../../storage/blobs/s3/client.ts';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import { Requests } from '../../storage/blobs/s3/requests.ts';

const options = JSON.parse(process.argv[2] ?? '') as S3Options;
const client = createClient(options, () => ({ leftMs: () => 2_500 }));
client.middlewareStack.add(
  (next, { commandName }) =>
    async (args) => {
      if (commandName === 'PutObjectCommand') process.kill(process.pid, 'SIGSTOP');
      return next(args);
    },
  { step: 'deserialize', priority: 'low' },
);
const requests = new Requests(client, options);
try {
  await new Bucket(requests).put('frozen', Buffer.from('written late'));
  console.log('done');
} catch (error) {
  console.log(error instanceof StorageError ? `${error.failure} ${error.message}` : String(error));
}
requests.close();
