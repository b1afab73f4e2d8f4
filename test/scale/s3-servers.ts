import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { missingTools } from '../clients/tools.ts';
import { freePort } from '../harness/process.ts';
import { ACCESS, BUCKET, createBucket, SECRET, startProgram, type S3Program } from './s3-program.ts';

export type { S3Program, S3Server } from './s3-program.ts';
export { radosgw } from './radosgw.ts';

/** https://github.com/versity/versitygw over a directory. */
export const versitygw: S3Program = {
  name: 'versitygw',
  missing: missingTools('versitygw'),
  start: () =>
    startProgram('versitygw', async (directory, port) => {
      await mkdir(path.join(directory, BUCKET));
      const address = `127.0.0.1:${port}`;
      return ['--port', address, '--access', ACCESS, '--secret', SECRET, '--quiet', '--keep-alive', 'posix', directory];
    }),
};

/** https://github.com/seaweedfs/seaweedfs: master, volume server, filer and S3 in one process. */
export const seaweedfs: S3Program = {
  name: 'SeaweedFS',
  missing: missingTools('weed'),
  start: async () => {
    const server = await startProgram('weed', async (directory, port) => {
      const identity = { name: 'test', credentials: [{ accessKey: ACCESS, secretKey: SECRET }], actions: ['Admin'] };
      const config = path.join(directory, 's3.json');
      await writeFile(config, JSON.stringify({ identities: [identity] }));
      const [master, volume, filer] = [await freePort(), await freePort(), await freePort()];
      return [
        'server',
        `-dir=${directory}`,
        '-ip=127.0.0.1',
        '-ip.bind=127.0.0.1',
        '-filer',
        '-s3',
        // By default each of them takes another port, 10,000 above its own, for its RPC.
        ...ports('master', master, await freePort()),
        ...ports('volume', volume, await freePort()),
        ...ports('filer', filer, await freePort()),
        ...ports('s3', port, await freePort()),
        `-s3.config=${config}`,
        // Files of volumes are set aside as a whole.
        '-master.volumeSizeLimitMB=128',
        '-volume.max=50',
      ];
    });
    await createBucket(server.options);
    return server;
  },
};

function ports(role: string, port: number, rpc: number): readonly string[] {
  return [`-${role}.port=${port}`, `-${role}.port.grpc=${rpc}`];
}
