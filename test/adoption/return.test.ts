import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { digestOf, request } from '../harness/push.ts';
import { image } from './documents.ts';
import { Holdings } from './holdings.ts';
import { Pusher } from './pusher.ts';
import { DISTRIBUTIONS, Store } from './stores.ts';
import { verifyHoldings } from './verify.ts';

for (const distribution of DISTRIBUTIONS) {
  describe(`a store that goes to ${distribution.title} and back`, { skip: distribution.missing }, () => {
    for (const workers of [1, 2]) {
      it(`is served as Distribution left it, with ${workers} worker${workers > 1 ? 's' : ''}`, async () => {
        await using store = await Store.create(distribution);
        const holdings = new Holdings();
        const doomed = image('doomed');
        await store.withEntrepot(async (server) => {
          const pusher = new Pusher(server, holdings);
          await pusher.image('app', image('old'), 'moved', 'stays');
          await pusher.image('app', doomed, 'doomed', 'doomed-too');
          await pusher.seeded('untouched', {}, 'v1');
          await verifyHoldings(server, holdings, 'entrepot');
        }, workers);
        await store.withDistribution(async (server) => {
          const pusher = new Pusher(server, holdings);
          await pusher.image('app', image('new'), 'moved', 'added');
          await pusher.deleteManifest('app', doomed);
          await pusher.seeded('new/repository', {}, 'v1');
        });
        await store.withEntrepot((server) => verifyHoldings(server, holdings, 'entrepot'), workers);
        await store.withDistribution((server) => verifyHoldings(server, holdings, 'distribution'));
      });
    }

    it('is served as Distribution left it to whoever asks first for what changed', async () => {
      await using store = await Store.create(distribution);
      const [old, moved, doomed] = [image('old'), image('moved'), image('doomed')];
      await store.withEntrepot(async (server) => {
        await new Pusher(server, new Holdings()).image('app', old, 'tag');
        await new Pusher(server, new Holdings()).image('app', doomed, 'doomed');
      });
      await store.withDistribution(async (server) => {
        await new Pusher(server, new Holdings()).image('app', moved, 'tag');
        await new Pusher(server, new Holdings()).deleteManifest('app', doomed);
      });
      const first: [string, string, number][] = [
        ['GET', '/v2/app/manifests/doomed', 404],
        ['HEAD', `/v2/app/manifests/${digestOf(doomed.bytes)}`, 404],
        ['GET', `/v2/app/manifests/${digestOf(moved.bytes)}`, 200],
      ];
      for (const [method, target, status] of first) {
        await store.withEntrepot(async (server) => void (await request(server, method, target, { status })));
      }
      await store.withEntrepot(async (server) => {
        const { headers } = await request(server, 'HEAD', '/v2/app/manifests/tag', { status: 200 });
        assert.equal(headers.get('docker-content-digest'), digestOf(moved.bytes));
      });
      await store.withEntrepot(async (server) => {
        const answer = await request(server, 'GET', '/v2/app/tags/list', { status: 200 });
        assert.deepEqual(JSON.parse(await answer.text()), { name: 'app', tags: ['tag'] });
      });
    });
  });
}

describe('a store whose index is lost', () => {
  const lost = {
    'the index': ['index.db', 'index.db-wal', 'index.db-shm'],
    'the log of the index, after a stop in order': ['index.db-wal', 'index.db-shm'],
    'the name of the tree': ['epoch'],
    'everything beside the tree': [''],
  };
  for (const [title, files] of Object.entries(lost)) {
    it(`is served whole without ${title}`, async () => {
      await using store = await Store.create();
      const holdings = new Holdings();
      await store.withEntrepot(async (server) => {
        const pusher = new Pusher(server, holdings);
        const subject = await pusher.seeded('app', {}, 'v1', 'v2');
        const referrer = image('sbom', {
          artifactType: 'application/vnd.example.sbom',
          subject: { mediaType: subject.mediaType, digest: digestOf(subject.bytes), size: subject.bytes.length },
        });
        await pusher.image('app', referrer);
        await pusher.deleteTag('app', 'v2');
      });
      for (const file of files) await rm(path.join(store.root, '.meta', file), { recursive: true, force: true });
      await store.withEntrepot((server) => verifyHoldings(server, holdings, 'entrepot'));
    });
  }
});
