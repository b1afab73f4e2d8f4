import { z } from 'zod';
import { isUrl } from './access-words.ts';
import { isNetwork } from './address.ts';
import { choice, duration, file, flag, line, list, SECTION, size, sizeOr } from './field.ts';

/* Where blobs and manifests lie; see schema.ts. */

const redirect = z.strictObject(
  {
    enabled: flag(
      'Whether clients fetch blobs of more than 64 KiB from the S3 server, by addresses that are signed for them.',
    ).default(false),
    endpoint: serverUrl('Where clients reach the S3 server; unset, as storage.s3.endpoint.').optional(),
    addresses: list(
      'Which clients are sent there; empty, all of them.',
      'IP addresses or ranges, such as 10.0.0.0/8',
      (expected) => z.string(expected).refine(isNetwork, expected),
    ).default([]),
    expireAfter: duration('How long such an address may be used, by whoever has it.', '10s', '7d').default('10m'),
  },
  SECTION,
);

const s3 = z.strictObject(
  {
    bucket: line('The bucket; it has to be there. Several registries may share it by different prefixes.').optional(),
    prefix: pathPrefix('Where in the bucket the registry lies; CNCF Distribution calls it rootdirectory.').optional(),
    region: line('The region of the bucket; what servers other than AWS want is mostly us-east-1.').default(
      'us-east-1',
    ),
    endpoint: serverUrl('Where an S3 server is that is not AWS.').optional(),
    pathStyle: flag(
      'Whether the bucket is named in the path (https://server/bucket) and not in the name of the server.',
    ).default(false),
    accessKeyId: line(
      'The access key; unset, the variables, shared files and roles of AWS are looked at, as its own tools do.',
    ).optional(),
    secretAccessKey: line('The secret of the access key.').meta({ secret: true }).optional(),
    authorities: file('PEM file with the authorities that signed the certificate of the S3 server.').optional(),
    encryption: choice('How the server is asked to encrypt; none leaves it to the bucket.', [
      'none',
      'AES256',
      'aws:kms',
    ]).default('none'),
    kmsKeyId: line('The key of aws:kms; unset, the own key of the account.').optional(),
    storageClass: line('The storage class, such as STANDARD_IA; unset, that of the bucket.').optional(),
    partMemory: size('Memory for the parts of blobs on their way to the bucket, per worker.', '16MiB', '64GiB').default(
      '96MiB',
    ),
    copyLaterFrom: sizeOr(
      'never',
      'Blobs of at least this size, pushed with the digest last, are acknowledged before the S3 server has copied them to their place, unless it does that in no time.',
      '1B',
      '5TiB',
    ).default('128MiB'),
    redirect: redirect.prefault({}),
  },
  SECTION,
);

export const storage = z.strictObject(
  {
    driver: choice('Where blobs and manifests lie; memory forgets everything at the end.', [
      'filesystem',
      's3',
      'memory',
    ]).default('filesystem'),
    cache: size('Memory for small manifests and blobs, per worker.', '0', '64GiB').default('64MiB'),
    transferMemory: size('Memory for blobs on their way to clients, per worker.', '1MiB', '64GiB').default('64MiB'),
    s3: s3.prefault({}),
  },
  SECTION,
);

function isPrefix(text: string): boolean {
  return /^\/?(?:[\w-][\w.-]*(?:\/|$))+$/.test(text);
}

function pathPrefix(meaning: string) {
  const expected = 'names with slashes between them, such as registries/one';
  return z
    .string(expected)
    .max(300, expected)
    .refine(isPrefix, expected)
    .meta({ description: `${meaning} Write ${expected}.` });
}

function isServer(text: string): boolean {
  return isUrl(text) && URL.parse(text)?.pathname === '/';
}

function serverUrl(meaning: string) {
  const expected = 'an http:// or https:// address without a path';
  return z
    .string(expected)
    .refine(isServer, expected)
    .meta({ description: `${meaning} Write ${expected}.` });
}
