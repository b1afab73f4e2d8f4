import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { pushBlob, type Destination } from '../faults/blob-push.ts';
import { Client } from '../faults/client.ts';
import { blobOf, configBlob, imageDocument, type Blob } from '../faults/content.ts';
import { Ledger } from '../faults/ledger.ts';
import { deleteManifest, pushManifest } from '../faults/manifest-push.ts';
import { Random } from '../faults/random.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { startCountingProxy, type CountingProxy } from './counting-proxy.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { missingForReplicas, Replicas } from './replicas.ts';
import { versitygw, type S3Server } from './s3-servers.ts';

const MIB = 1024 * 1024;
const random = new Random('what a bucket is asked');

/** A registry on the bucket: alone, with its index beside it, or as one of many, with leases. */
type Setting = 'alone' | 'with leases';

async function startRegistry(
  setting: Setting,
  bucket: S3Server,
  opened: AsyncDisposableStack,
): Promise<{ readonly url: string }> {
  if (setting === 'with leases') {
    const { members } = opened.use(await Replicas.start({ count: 1, bucket }));
    const [member] = members;
    assert.ok(member);
    return member;
  }
  const directory = opened.use(await temporaryDirectory());
  const env = s3Environment(bucket.options);
  return opened.use(await startEntrepot({ root: path.join(directory.path, 'root'), env, args: ['--workers', '1'] }));
}

describe('what a bucket is asked, alone', { skip: versitygw.missing }, () => {
  describeRequests('alone');
});

describe('what a bucket is asked, with leases', { skip: missingForReplicas }, () => {
  describeRequests('with leases');
});

function describeRequests(setting: Setting): void {
  const opened = new AsyncDisposableStack();
  let s3: S3Server;
  let proxy: CountingProxy;
  let client: Client;
  const ledger = new Ledger();
  const to = (repository: string): Destination => ({ client, ledger, repository });

  before(async () => {
    s3 = opened.use(await versitygw.start());
    proxy = opened.use(await startCountingProxy(s3.options.endpoint ?? ''));
    const options = { ...s3.options, endpoint: proxy.endpoint, prefix: 'team' };
    const server = await startRegistry(setting, { ...s3, options }, opened);
    client = opened.use(new Client(server.url));
    // What a new repository needs once is no part of what a push costs, nor what a process finds out once of the server.
    for (const size of [10, 9 * MIB]) await pushBlob(to('app'), blobOf(random.bytes(size)), 'single', random);
    await settled(proxy);
  });
  after(async () => opened.disposeAsync());

  async function costs(what: string, most: number, work: () => Promise<unknown>): Promise<void> {
    const requests = await proxy.during(work);
    assert.ok(requests.length <= most, `${what}: ${requests.length} requests\n${requests.join('\n')}`);
  }

  async function image(repository: string, layers: number): Promise<{ blobs: readonly Blob[]; config: Blob }> {
    const config = configBlob(random);
    const blobs = Array.from({ length: layers }, () => blobOf(random.bytes(100_000)));
    for (const blob of [config, ...blobs]) await pushBlob(to(repository), blob, 'streamed', random);
    return { blobs, config };
  }

  it('at most 5 for a blob of 3 MiB pushed as docker does, 3 when its digest is known', async (t) => {
    const counted: number[] = [];
    for (const [style, most] of [
      ['streamed', 5],
      ['single', 3],
      ['monolithic', 3],
    ] as const) {
      const requests = await proxy.during(() => pushBlob(to('app'), blobOf(random.bytes(3 * MIB)), style, random));
      counted.push(requests.length);
      assert.ok(requests.length > 0 && requests.length <= most, `${style}: ${requests.join('\n')}`);
    }
    t.diagnostic(`docker's way, single POST, PUT with the body: ${counted.join(', ')} requests`);
  });

  it('no copy for 20 MiB when the digest is known', async () => {
    const requests = await proxy.during(() => pushBlob(to('app'), blobOf(random.bytes(20 * MIB)), 'single', random));
    // The beginning, three parts, the end, the link.
    assert.ok(requests.length <= 6, requests.join('\n'));
  });

  it('one copy for 20 MiB pushed as docker does, and at most 12 requests', async (t) => {
    const requests = await proxy.during(() => pushBlob(to('app'), blobOf(random.bytes(20 * MIB)), 'streamed', random));
    t.diagnostic(`${requests.length} requests`);
    assert.ok(requests.length > 0 && requests.length <= 12, requests.join('\n'));
  });

  it('at most 4 for a manifest with a tag, 30 for a docker push of a config and 5 layers', async (t) => {
    const pushed = await proxy.during(async () => {
      const { config, blobs } = await image('pushed', 5);
      const document = imageDocument(config, blobs, 'docker');
      await costs('manifest', 4, () => pushManifest(to('pushed'), document, 'latest'));
    });
    t.diagnostic(`a docker push of 1 config and 5 layers: ${pushed.length} requests`);
    assert.ok(pushed.length <= 30, pushed.join('\n'));
  });

  it('nothing to say what is there: HEAD, manifests, tags, the catalog, referrers', async () => {
    const { config, blobs } = await image('read', 1);
    const document = imageDocument(config, blobs, 'oci');
    await pushManifest(to('read'), document, 'latest');
    await settled(proxy);
    await costs('reads', 0, async () => {
      for (const [method, target, status] of [
        ['HEAD', `/v2/read/blobs/${config.digest}`, 200],
        ['HEAD', `/v2/read/blobs/sha256:${'0'.repeat(64)}`, 404],
        ['HEAD', '/v2/read/manifests/latest', 200],
        ['GET', '/v2/read/manifests/latest', 200],
        ['GET', `/v2/read/manifests/${document.digest}`, 200],
        ['GET', '/v2/read/manifests/nothing', 404],
        ['GET', '/v2/read/tags/list', 200],
        ['GET', '/v2/_catalog', 200],
        ['GET', `/v2/read/referrers/${document.digest}`, 200],
      ] as const) {
        const answer = await client.send(method, target);
        assert.equal(answer.status, status, `${method} ${target}: ${answer.body.toString()}`);
      }
    });
  });

  it('at most 3 for the deletion of a manifest with 62 tags', async (t) => {
    const { config, blobs } = await image('many', 1);
    const document = imageDocument(config, blobs, 'oci');
    for (let tag = 0; tag < 62; tag += 1) await pushManifest(to('many'), document, `tag-${tag}`);
    await settled(proxy);
    const requests = await proxy.during(() => deleteManifest(to('many'), document.digest));
    t.diagnostic(`${requests.length} requests`);
    assert.ok(requests.length <= 3, requests.join('\n'));
    assert.equal((await client.send('GET', '/v2/many/tags/list')).body.toString().includes('tag-1'), false);
  });
}

/** Until what goes on in the background has come to rest. */
async function settled(proxy: CountingProxy): Promise<void> {
  for (let seen = -1; seen !== proxy.requests.length;) {
    seen = proxy.requests.length;
    await delay(300);
  }
}
