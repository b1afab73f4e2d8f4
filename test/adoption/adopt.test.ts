import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { digestOf, mountBlob, request, seededBytes, type Endpoint } from '../harness/push.ts';
import { descriptorOf, image, indexOf, type ImageDocument } from './documents.ts';
import { Holdings } from './holdings.ts';
import { Pusher } from './pusher.ts';
import { DISTRIBUTIONS, Store } from './stores.ts';
import { verifyHoldings } from './verify.ts';

const SMALL_REPOSITORIES = 40;
const TAGS = 150;

for (const distribution of DISTRIBUTIONS) {
  describe(`a store that ${distribution.title} wrote`, { skip: distribution.missing }, () => {
    const holdings = new Holdings();
    let store: Store;
    let subject: ImageDocument;

    before(async () => {
      store = await Store.create(distribution);
      subject = await store.withDistribution((server) => fill(server, new Pusher(server, holdings)));
    });
    after(() => store[Symbol.asyncDispose]());

    for (const workers of [1, 2]) {
      it(`is served whole from the first request on, with ${workers} worker${workers > 1 ? 's' : ''}`, async (t) => {
        await store.forgetMetadata();
        const answers = await store.withEntrepot((server) => verifyHoldings(server, holdings, 'entrepot'), workers);
        t.diagnostic(`${answers} answers held against what was pushed`);
        assert.ok(answers > 800, `only ${answers}`);
      });
    }

    it('is served whole by the second start, which has an index', async () => {
      assert.ok((await store.withEntrepot((server) => verifyHoldings(server, holdings, 'entrepot'))) > 800);
    });

    const digest = () => digestOf(subject.bytes);
    const layer = () => digestOf(subject.blobs[1] ?? new Uint8Array());
    const firstRequests: Record<string, (server: Endpoint) => Promise<void>> = {
      'for a manifest by tag': (server) => hasStatus(server, '/v2/signed/manifests/v1'),
      'for a manifest by digest': (server) => hasStatus(server, `/v2/signed/manifests/${digest()}`),
      'for a blob': (server) => hasStatus(server, `/v2/signed/blobs/${layer()}`),
      'for a page of tags': async (server) => {
        const answer = await request(server, 'GET', '/v2/tagged/tags/list?n=10&last=t0042', { status: 200 });
        const tags = Array.from({ length: 10 }, (_, index) => `t00${43 + index}`);
        assert.deepEqual(JSON.parse(await answer.text()), { name: 'tagged', tags });
      },
      'for the catalog': async (server) => {
        const answer = await request(server, 'GET', '/v2/_catalog?n=1000', { status: 200 });
        assert.deepEqual(JSON.parse(await answer.text()), { repositories: holdings.names() });
      },
      'for referrers': async (server) => {
        const answer = await request(server, 'GET', `/v2/signed/referrers/${digest()}`, { status: 200 });
        const index = JSON.parse(await answer.text()) as { manifests: { digest: string }[] };
        assert.deepEqual(index.manifests.map((each) => each.digest).toSorted(), holdings.referrers('signed', digest()));
      },
      'for a mount': (server) => mountBlob(server, 'new/from-adopted', layer(), 'signed'),
      'that pushes an image whose blobs are there': async (server) => {
        const { bytes, mediaType } = subject;
        const headers = { 'Content-Type': mediaType };
        await request(server, 'PUT', '/v2/signed/manifests/v1', { status: 201, headers, body: bytes });
      },
    };
    for (const [title, ask] of Object.entries(firstRequests)) {
      it(`answers a first request ${title}`, async () => {
        await store.forgetMetadata();
        await store.withEntrepot(ask);
      });
    }

    it('serves its sha512 blobs, which Distribution keeps under sha256, and leaves them to it', async () => {
      const name = 'sha512';
      const bytes = seededBytes(name, 3_000_000);
      const pushed = digestOf(bytes, 'sha512');
      await store.forgetMetadata();
      await store.withDistribution((server) =>
        new Pusher(server, new Holdings()).blob(name, bytes, { digest: pushed }),
      );
      const isServed = async (server: Endpoint) => {
        const answer = await request(server, 'GET', `/v2/${name}/blobs/${pushed}`, { status: 200 });
        assert.ok(Buffer.from(await answer.arrayBuffer()).equals(bytes));
      };
      await store.withEntrepot(isServed);
      await store.withDistribution(isServed);
      await store.withEntrepot(isServed);
    });

    it('does not take a link to another blob for the blob', async () => {
      const [name, here, other] = ['misled', seededBytes('here', 1000), seededBytes('other', 1000)];
      await store.withDistribution((server) => new Pusher(server, new Holdings()).blob(name, here));
      const wanted = digestOf(other, 'sha512');
      const link = path.join(store.root, `docker/registry/v2/repositories/${name}/_layers/${wanted.replace(':', '/')}`);
      await mkdir(link, { recursive: true });
      await writeFile(path.join(link, 'link'), digestOf(here));
      await store.forgetMetadata();
      await store.withEntrepot(async (server) => {
        await hasStatus(server, `/v2/${name}/blobs/${wanted}`, 404);
        await hasStatus(server, `/v2/${name}/blobs/${digestOf(here)}`);
      });
    });
  });
}

/** One of each kind that Distribution takes. @returns the subject of the referrers in `signed` */
async function fill(server: Endpoint, pusher: Pusher): Promise<ImageDocument> {
  const plain = await pusher.seeded('plain', {}, 'v1', 'latest', 'v1.0.0');
  await pusher.seeded('plain', { layers: 5 });
  await fillIndexes(pusher);
  await pusher.seeded('artifact', { artifactType: 'application/vnd.example.sbom' }, 'v1');
  for (const name of ['nested', 'nested/below', 'nested/below/deep_er/still.more']) await pusher.seeded(name, {}, 'v1');
  await pusher.mount('mounted', plain.blobs[1] ?? new Uint8Array(), 'plain');
  for (const seed of ['first', 'second', 'third']) await pusher.image('moved', image(seed), 'tag');
  await pusher.deleteManifest('deleted', await pusher.seeded('deleted', {}, 'gone'));
  await pusher.seeded('deleted', {}, 'kept');
  await pusher.blob('blob-only', seededBytes('blob-only', 500));
  for (let index = 0; index < SMALL_REPOSITORIES; index++) await pusher.seeded(`small/${index}`, { layers: 1 }, 'v1');
  const tags = Array.from({ length: TAGS }, (_, index) => `t${String(index).padStart(4, '0')}`);
  await pusher.image('tagged', image('tagged'), ...tags);
  // A client that went away.
  await request(server, 'POST', '/v2/plain/blobs/uploads/', { status: 202 });
  return fillReferrers(pusher);
}

async function fillIndexes(pusher: Pusher): Promise<void> {
  for (const docker of [false, true]) {
    const name = docker ? 'docker/list' : 'platforms';
    const children = [image(`${name} a`, { docker }), image(`${name} b`, { docker })];
    for (const child of children) await pusher.image(name, child);
    await pusher.manifest(name, indexOf(children, { docker }), 'v1');
  }
}

/** An image with two referrers, found by the fallback tag as clients of a registry without referrers make it. */
async function fillReferrers(pusher: Pusher): Promise<ImageDocument> {
  const subject = await pusher.seeded('signed', {}, 'v1');
  const artifactTypes = ['application/vnd.example.signature', 'application/vnd.example.sbom'];
  const referrers = artifactTypes.map((artifactType) =>
    image(artifactType, { artifactType, layers: 1, subject: descriptorOf(subject) }),
  );
  for (const referrer of referrers) await pusher.image('signed', referrer);
  const fallback = digestOf(subject.bytes).replace(':', '-');
  await pusher.manifest('signed', indexOf(referrers, { artifactTypes }), fallback);
  return subject;
}

async function hasStatus(server: Endpoint, target: string, status = 200): Promise<void> {
  const response = await request(server, 'GET', target, { status });
  await response.arrayBuffer();
}
