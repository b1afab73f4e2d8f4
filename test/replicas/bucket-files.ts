import { Readable } from 'node:stream';
import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { createClient } from '../../storage/blobs/s3/client.ts';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import type { TreeFiles } from '../faults/tree-files.ts';

const TREE = 'docker/registry/v2/';

/** Those of a whole bucket, as the S3 server has them. */
export function bucketFiles(options: S3Options): TreeFiles & Disposable {
  const client = createClient(options);
  const Bucket = options.bucket;
  const keys = () => allKeys(client, Bucket);
  return {
    list: async () =>
      new Set((await keys()).filter((key) => key.startsWith(TREE)).map((key) => key.slice(TREE.length))),
    top: async () => [...new Set((await keys()).map((key) => key.split('/')[0] ?? ''))],
    open: async (file) => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket, Key: TREE + file }));
      if (!(Body instanceof Readable)) throw new Error(`no body of ${file}`);
      return Body;
    },
    identity: async (file) => {
      const head = await client.send(new HeadObjectCommand({ Bucket, Key: TREE + file }));
      return `${head.ETag} ${head.LastModified?.getTime()}`;
    },
    [Symbol.dispose]: () => client.destroy(),
  };
}

async function allKeys(client: S3Client, Bucket: string): Promise<readonly string[]> {
  const keys: string[] = [];
  for (let after: string | undefined = ''; after !== undefined;) {
    const page: ListObjectsV2CommandOutput = await client.send(
      new ListObjectsV2Command({ Bucket, ...(after !== '' && { StartAfter: after }) }),
    );
    for (const { Key = '' } of page.Contents ?? []) keys.push(Key);
    after = page.IsTruncated === true ? keys.at(-1) : undefined;
  }
  return keys;
}
