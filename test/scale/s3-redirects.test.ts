import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pushBlob, type Style } from '../faults/blob-push.ts';
import { Client } from '../faults/client.ts';
import { blobOf } from '../faults/content.ts';
import { Ledger } from '../faults/ledger.ts';
import { Random } from '../faults/random.ts';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { probePublicEndpoint } from '../../storage/blobs/s3/public-probe.ts';
import { keyOf } from '../contracts/blob-bytes.ts';
import { until } from '../http/until.ts';
import { startCountingProxy, type CountingProxy } from './counting-proxy.ts';
import { radosgw, seaweedfs, versitygw, type S3Server } from './s3-servers.ts';

const MIB = 1024 * 1024;
const random = new Random('fetched from a bucket');

async function statusOf(address: string, method = 'GET'): Promise<number> {
  const response = await fetch(address, { method });
  await response.bytes();
  return response.status;
}

for (const program of [versitygw, seaweedfs, radosgw]) {
  describe(`blobs that clients fetch from ${program.name}`, { skip: program.missing }, () => {
    const opened = new AsyncDisposableStack();
    let s3: S3Server;
    let proxy: CountingProxy;
    let server: RunningServer;

    before(async () => {
      s3 = opened.use(await program.start());
      proxy = opened.use(await startCountingProxy(s3.options.endpoint ?? ''));
      const directory = opened.use(await temporaryDirectory());
      const env = {
        ...s3Environment({ ...s3.options, endpoint: proxy.endpoint, prefix: 'team' }),
        ENTREPOT_STORAGE_S3_REDIRECT_ENABLED: 'true',
        ENTREPOT_STORAGE_S3_REDIRECT_ENDPOINT: s3.options.endpoint ?? '',
      };
      const root = path.join(directory.path, 'root');
      server = opened.use(await startEntrepot({ root, env, args: ['--workers', '1'] }));
    });
    after(async () => opened.disposeAsync());

    async function pushed(style: Style, bytes: Buffer): Promise<string> {
      using client = new Client(server.url);
      const blob = blobOf(bytes);
      await pushBlob({ client, ledger: new Ledger(), repository: 'app' }, blob, style, random);
      return `${server.url}/v2/app/blobs/${blob.digest}`;
    }

    it('cost the registry no request, whole or in part, however they were pushed', async () => {
      for (const style of ['streamed', 'single'] as const) {
        for (const size of [100_000, 20 * MIB]) {
          const bytes = random.bytes(size);
          const url = await pushed(style, bytes);
          const asked = await proxy.during(async () => {
            const whole = await fetch(url);
            assert.equal(whole.redirected, true);
            assert.ok(bytes.equals(await whole.bytes()));
            const part = await fetch(url, { headers: { Range: 'bytes=99000-' } });
            assert.deepEqual([part.status, part.redirected], [206, true]);
            assert.equal(part.headers.get('Content-Range'), `bytes 99000-${size - 1}/${size}`);
            assert.ok(bytes.subarray(99_000).equals(await part.bytes()));
          });
          // Others are of what goes on in the background after a start.
          const hex = url.split(':').at(-1) ?? '';
          assert.deepEqual(
            asked.filter((request) => request.includes(hex)),
            [],
          );
        }
      }
    });

    it('are refused by another name, by another method, with a byte of the address changed', async () => {
      const url = await pushed('single', random.bytes(100_000));
      const redirect = await fetch(url, { redirect: 'manual' });
      const location = redirect.headers.get('Location') ?? assert.fail();
      assert.equal(await statusOf(location), 200);
      assert.equal(await statusOf(location, 'DELETE'), 403);
      assert.equal(await statusOf(location.replace('127.0.0.1', 'localhost')), 403);
      assert.equal(await statusOf(location.replace('/team/docker/', '/other/docker/')), 403);
      assert.equal(await statusOf(location.replace('X-Amz-Expires=600', 'X-Amz-Expires=6000')), 403);
      assert.equal(await statusOf(location), 200);
    });

    it('are looked for by the doctor, who notices a proxy that calls the server by another name', async () => {
      const { endpoint = '' } = s3.options;
      assert.deepEqual(await probePublicEndpoint({ ...s3.options, publicEndpoint: proxy.endpoint }), {
        origin: proxy.endpoint,
        outcome: { kind: 'same' },
      });
      await using renaming = await startCountingProxy(endpoint, { host: new URL(endpoint).host });
      const probed = await probePublicEndpoint({ ...s3.options, publicEndpoint: renaming.endpoint });
      assert.deepEqual(probed?.outcome, { kind: 'refused', status: 403, code: 'SignatureDoesNotMatch' });
      const driver = openS3Driver(s3.options);
      for await (const { name } of driver.list(keyOf('.meta/probe'))) assert.fail(`${name} is left`);
      await driver.close();
    });

    it('are refused when the address has run out', async () => {
      const driver = openS3Driver(s3.options);
      await driver.writeAll([{ key: keyOf('short'), bytes: Buffer.from('for a second') }]);
      const url = (await driver.locate?.(keyOf('short'), 1000)) ?? assert.fail();
      await until('the end of the address', async () => {
        const response = await fetch(url);
        await response.bytes();
        return response.status === 403;
      });
      await driver.close();
    });
  });
}
