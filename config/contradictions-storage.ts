import type { Broken } from './contradictions.ts';
import type { Settings } from './schema.ts';

/* Rules between the keys of the storage; see contradictions.ts. */

export function bucketWithoutDriver({ storage: { driver, s3 } }: Settings): Broken | undefined {
  if (driver === 's3' || s3.bucket === undefined) return undefined;
  return {
    keys: ['storage.driver', 'storage.s3.bucket'],
    wrong: `storage.s3.bucket names a bucket, and everything would go to the ${driver} beside it`,
    instead: 'Write storage.driver: s3 to use the bucket, or take storage.s3 out.',
  };
}

export function driverWithoutBucket({ storage: { driver, s3 } }: Settings): Broken | undefined {
  if (driver !== 's3' || s3.bucket !== undefined) return undefined;
  return {
    keys: ['storage.s3.bucket', 'storage.driver'],
    wrong: 'it is missing, and storage.driver is s3',
    instead: 'Name the bucket; for a server that is not AWS name its storage.s3.endpoint as well.',
  };
}

export function halfCredentials({ storage: { s3 } }: Settings): Broken | undefined {
  const { accessKeyId, secretAccessKey } = s3;
  if ((accessKeyId === undefined) === (secretAccessKey === undefined)) return undefined;
  const [set, missing] =
    accessKeyId === undefined ? ['secretAccessKey', 'accessKeyId'] : ['accessKeyId', 'secretAccessKey'];
  return {
    keys: [`storage.s3.${set}`, `storage.s3.${missing}`],
    wrong: `storage.s3.${missing} is missing beside it`,
    instead: 'Set both; or neither, and what the tools of AWS use is used: variables, shared files, roles.',
  };
}

export function redirectWithoutBucket({ storage: { driver, s3 } }: Settings): Broken | undefined {
  if (!s3.redirect.enabled || driver === 's3') return undefined;
  return {
    keys: ['storage.s3.redirect.enabled', 'storage.driver'],
    wrong: `storage.driver is ${driver}, and clients cannot fetch blobs from there themselves`,
    instead: 'Write storage.driver: s3, or take storage.s3.redirect out.',
  };
}

export function redirectWithoutCheck({ integrity, storage: { driver, s3 } }: Settings): Broken | undefined {
  if (driver !== 's3' || !s3.redirect.enabled || integrity.verifyReads !== 'always') return undefined;
  return {
    keys: ['storage.s3.redirect.enabled', 'integrity.verifyReads'],
    wrong: 'integrity.verifyReads is always, and nobody hashes what clients fetch from the bucket',
    instead:
      'Write integrity.verifyReads: stale, and only what was hashed lately is fetched there; or switch this off.',
  };
}

export function keyWithoutEncryption({ storage: { s3 } }: Settings): Broken | undefined {
  if (s3.kmsKeyId === undefined || s3.encryption === 'aws:kms') return undefined;
  return {
    keys: ['storage.s3.kmsKeyId', 'storage.s3.encryption'],
    wrong: `storage.s3.encryption is ${s3.encryption}, which uses no key of KMS`,
    instead: 'Write storage.s3.encryption: aws:kms, or take the key out.',
  };
}
