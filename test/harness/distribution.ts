import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { freePort, startServer, temporaryDirectory, type RunningServer } from './process.ts';

/** Starts Debian's `docker-registry` (CNCF Distribution 2.8) on `root`, with deletion on. */
export async function startDistribution(options: { root: string; port?: number }): Promise<RunningServer> {
  const port = options.port ?? (await freePort());
  const host = `127.0.0.1:${port}`;
  const directory = await temporaryDirectory('distribution-');
  const file = path.join(directory.path, 'config.yml');
  await writeFile(file, distributionConfig(options.root, host));
  const server = await startServer('docker-registry', ['serve', file], host);
  return {
    ...server,
    [Symbol.asyncDispose]: async () => {
      await server.kill();
      await directory[Symbol.asyncDispose]();
    },
  };
}

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
