import { readFile } from 'node:fs/promises';
import type { S3Config } from '../config/config.ts';
import type { BlobDriver } from '../storage/blobs/driver.ts';
import type { CurrentFence } from '../storage/blobs/fence.ts';
import type { S3Options } from '../storage/blobs/s3/options.ts';
import type { PublicProbe } from '../storage/blobs/s3/public-probe.ts';
import type { Probe } from '../storage/blobs/s3/probe.ts';

/** The bucket does not do what a store needs of it. The message is for the operator. */
export class BucketUnfit extends Error {
  override readonly name = 'BucketUnfit';
}

/** The driver of a bucket; the SDK of AWS is loaded when somebody has one: it takes a while. */
export async function openBucket(s3: S3Config, fence?: CurrentFence): Promise<BlobDriver> {
  const { openS3Driver } = await import('../storage/blobs/s3.ts');
  return openS3Driver(await optionsOf(s3), fence);
}

export async function probe(s3: S3Config): Promise<Probe> {
  const { probeBucket } = await import('../storage/blobs/s3/probe.ts');
  return probeBucket(await optionsOf(s3));
}

/** How many blobs wait in the bucket to be copied to their place. */
export async function countDeferred(s3: S3Config): Promise<number> {
  const driver = await openBucket(s3);
  try {
    let count = 0;
    for await (const _ of driver.deferred?.list() ?? []) count += 1;
    return count;
  } finally {
    await driver.close();
  }
}

/** What clients get that are sent to the bucket. */
export async function probePublic(s3: S3Config): Promise<PublicProbe | undefined> {
  const { probePublicEndpoint } = await import('../storage/blobs/s3/public-probe.ts');
  return probePublicEndpoint(await optionsOf(s3));
}

/**
 * Before a server begins: what it may not do is better told now than to the first who pushes.
 *
 * @throws BucketUnfit
 */
export async function checkBucket(s3: S3Config): Promise<void> {
  const { capabilities } = await probe(s3);
  const failed = capabilities.filter(({ failure }) => failure !== undefined);
  const [first] = failed;
  if (first === undefined) return;
  const others = failed.length === 1 ? '' : ` And ${failed.length - 1} more: entrepot doctor names them.`;
  throw new BucketUnfit(
    `the bucket "${s3.bucket}" cannot be used: to ${first.what} failed (${first.failure}). ` +
      `Look at storage.s3, and whether the access key has ${first.permission}.${others}`,
  );
}

async function optionsOf(s3: S3Config): Promise<S3Options> {
  const { pathStyle, encryption, kmsKeyId, authorities } = s3;
  return {
    ...s3,
    isPathStyle: pathStyle,
    publicEndpoint: s3.redirect?.endpoint,
    encryption:
      encryption === 'aws:kms' ? { algorithm: encryption, keyId: kmsKeyId } : encryption && { algorithm: encryption },
    authorities: authorities === undefined ? undefined : await readFile(authorities, 'utf8'),
  };
}
