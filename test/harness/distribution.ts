import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort, startServer, temporaryDirectory, type RunningServer } from './process.ts';

/** Starts CNCF Distribution on `root`, with deletion on: Debian's `docker-registry` (2.8) unless `program` is another. */
export async function startDistribution(options: {
  root: string;
  port?: number;
  program?: string;
}): Promise<RunningServer> {
  const port = options.port ?? (await freePort());
  const host = `127.0.0.1:${port}`;
  const directory = await temporaryDirectory('distribution-');
  const file = path.join(directory.path, 'config.yml');
  await writeFile(file, distributionConfig(options.root, host));
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

/** Version 3 traces to a collector on localhost unless it is told not to. */
export const DISTRIBUTION_ENV = { OTEL_TRACES_EXPORTER: 'none' };

/** The configuration file that serves `root` at `host`; also what `docker-registry garbage-collect` takes. */
export function distributionConfig(root: string, host: string): string {
  return `version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: ${root}}
  delete: {enabled: true}
  cache: {blobdescriptor: inmemory}
http: {addr: "${host}"}
`;
}
