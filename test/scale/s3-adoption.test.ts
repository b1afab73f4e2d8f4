import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { missingTools, tool } from '../clients/tools.ts';
import { Client } from '../faults/client.ts';
import { sha256 } from '../faults/content.ts';
import { Ledger } from '../faults/ledger.ts';
import { push, TRIAL_TAG, trialImage, type TrialImage } from '../faults/trial.ts';
import { startDistributionOnS3 } from '../harness/distribution.ts';
import { startEntrepot, temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { radosgw, seaweedfs, versitygw, type S3Server } from './s3-servers.ts';

const IMAGES: readonly TrialImage[] = [
  trialImage('small', 10_000),
  // More than one part of either.
  trialImage('large', 30_000_000),
];

async function pushAll(server: RunningServer, repository: string): Promise<void> {
  using client = new Client(server.url);
  for (const [index, image] of IMAGES.entries()) {
    await push({ client, ledger: new Ledger(), repository: `${repository}/${index}` }, image);
  }
}

/** Distribution sends clients to the bucket for blobs, and they go. */
async function pullAll(server: RunningServer, repository: string): Promise<void> {
  for (const [index, { blobs, document }] of IMAGES.entries()) {
    const place = `${server.url}/v2/${repository}/${index}`;
    for (const reference of [TRIAL_TAG, document.digest]) {
      await assertGives(`${place}/manifests/${reference}`, document.digest, document.mediaType);
    }
    for (const { digest } of blobs) await assertGives(`${place}/blobs/${digest}`, digest);
  }
}

async function assertGives(url: string, digest: string, accept = '*/*'): Promise<void> {
  const response = await fetch(url, { headers: { Accept: accept } });
  const bytes = new Uint8Array(await response.arrayBuffer());
  assert.deepEqual([response.status, sha256(bytes)], [200, digest], url);
}

async function catalog(server: RunningServer): Promise<readonly string[]> {
  const response = await fetch(`${server.url}/v2/_catalog`);
  return ((await response.json()) as { repositories: string[] }).repositories;
}

for (const program of [versitygw, seaweedfs, radosgw]) {
  for (const distribution of ['docker-registry', 'registry']) {
    const skip = program.missing || missingTools(distribution);
    describe(`a bucket of ${program.name} that Distribution (${distribution}) serves as well`, { skip }, () => {
      let s3: S3Server;
      before(async () => {
        s3 = await program.start();
      });
      after(async () => s3[Symbol.asyncDispose]());

      it('is adopted in place, and everything that was pushed since is served when we are gone', async () => {
        const options = { ...s3.options, prefix: 'shared/store/' };
        const theirs = () => startDistributionOnS3({ s3: options, program: tool(distribution) });
        await using directory = await temporaryDirectory();
        const root = path.join(directory.path, 'root');
        const ours = () => startEntrepot({ root, env: s3Environment(options) });
        {
          await using server = await theirs();
          await pushAll(server, 'theirs');
        }
        {
          await using server = await ours();
          await pullAll(server, 'theirs');
          await pushAll(server, 'ours');
          assert.deepEqual(await catalog(server), ['ours/0', 'ours/1', 'theirs/0', 'theirs/1']);
        }
        {
          await using server = await theirs();
          await pullAll(server, 'theirs');
          await pullAll(server, 'ours');
          assert.deepEqual(await catalog(server), ['ours/0', 'ours/1', 'theirs/0', 'theirs/1']);
          await pushAll(server, 'theirs/again');
        }
        await using server = await ours();
        for (const repository of ['theirs', 'ours', 'theirs/again']) await pullAll(server, repository);
      });
    });
  }
}
