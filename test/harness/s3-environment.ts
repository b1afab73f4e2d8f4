import type { S3Options } from '../../storage/blobs/s3/options.ts';

/** The variables that put a registry's store into the bucket. */
export function s3Environment({ bucket, prefix, endpoint, region, credentials }: S3Options): Record<string, string> {
  return {
    ENTREPOT_STORAGE_DRIVER: 's3',
    ENTREPOT_STORAGE_S3_BUCKET: bucket,
    ENTREPOT_STORAGE_S3_PREFIX: prefix,
    ENTREPOT_STORAGE_S3_REGION: region,
    ENTREPOT_STORAGE_S3_ENDPOINT: endpoint ?? '',
    ENTREPOT_STORAGE_S3_PATH_STYLE: 'true',
    ENTREPOT_STORAGE_S3_ACCESS_KEY_ID: credentials?.accessKeyId ?? '',
    ENTREPOT_STORAGE_S3_SECRET_ACCESS_KEY: credentials?.secretAccessKey ?? '',
  };
}
