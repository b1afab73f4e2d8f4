import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import { freePort, startServer, temporaryDirectory, type RunningServer } from './process.ts';

interface DistributionOptions {
  readonly port?: number;
  readonly program?: string;
}

/** Starts CNCF Distribution on `root`, with deletion on: Debian's `docker-registry` (2.8) unless `program` is another. */
export function startDistribution(options: DistributionOptions & { readonly root: string }): Promise<RunningServer> {
  return startOn((host) => distributionConfig(options.root, host), options);
}

/** The same over a bucket. */
export function startDistributionOnS3(
  options: DistributionOptions & { readonly s3: S3Options },
): Promise<RunningServer> {
  const { bucket, prefix, region, endpoint, credentials } = options.s3;
  const storage = `s3: {bucket: ${bucket}, rootdirectory: "/${prefix.replace(/\/$/, '')}", region: ${region}, regionendpoint: "${endpoint}", accesskey: ${credentials?.accessKeyId}, secretkey: ${credentials?.secretAccessKey}, secure: false, v4auth: true, forcepathstyle: true}`;
  return startOn((host) => configOf(storage, host), options);
}

async function startOn(configFor: (host: string) => string, options: DistributionOptions): Promise<RunningServer> {
  const port = options.port ?? (await freePort());
  const host = `127.0.0.1:${port}`;
  const directory = await temporaryDirectory('distribution-');
  const file = path.join(directory.path, 'config.yml');
  await writeFile(file, configFor(host));
  const server = await startServer(options.program ?? 'docker-registry', ['serve', file], host, {
    env: DISTRIBUTION_ENV,
  });
  return {
    ...server,
    [Symbol.asyncDispose]: async () => {
      await server.kill();
      await directory[Symbol.asyncDispose]();
    },
  };
}

/**
 * Version 3 traces to a collector on localhost unless it is told not to, and version 2.8 ends when the machine has a
 * bundle of authorities for AWS.
 */
export const DISTRIBUTION_ENV = { OTEL_TRACES_EXPORTER: 'none', AWS_CA_BUNDLE: '' };

/** The configuration file that serves `root` at `host`; also what `docker-registry garbage-collect` takes. */
export function distributionConfig(root: string, host: string): string {
  return configOf(`filesystem: {rootdirectory: ${root}}`, host);
}

function configOf(storage: string, host: string): string {
  return `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  ${storage}
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
http: {addr: "${host}"}
`;
}
