import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { digestOf, request } from '../harness/push.ts';
import type { RunningServer } from '../harness/process.ts';
import { DamagedImage, DAMAGES } from './damages.ts';
import { Holdings } from './holdings.ts';
import { litter } from './litter.ts';
import { Pusher } from './pusher.ts';
import { Store, WITHOUT_DISTRIBUTION } from './stores.ts';
import { NOT_UNPRIVILEGED, startUnprivileged } from './unprivileged.ts';
import { verifyContents } from './verify.ts';

describe('a damaged store', { skip: WITHOUT_DISTRIBUTION }, () => {
  const holdings = new Holdings();
  const damaged = new Map<string, DamagedImage>();
  let store: Store;
  let server: RunningServer;
  let lockedLayer: string;
  const running = new AsyncDisposableStack();

  before(async () => {
    store = running.use(await Store.create());
    await store.withDistribution(async (distribution) => {
      for (let index = 0; index < 5; index++)
        await new Pusher(distribution, holdings).seeded(`whole/${index}`, {}, 'v1');
      for (const [number, title] of Object.keys(DAMAGES).entries()) {
        const name = `damaged/${number}`;
        const pushed = await new Pusher(distribution, new Holdings()).seeded(name, {}, 'v1');
        damaged.set(title, new DamagedImage(store, name, pushed));
      }
    });
    for (const [title, tree] of damaged) await DAMAGES[title]?.break(tree);
    const locked = await store.withDistribution((distribution) =>
      new Pusher(distribution, new Holdings()).seeded('locked/away', {}, 'v1'),
    );
    lockedLayer = digestOf(locked.blobs[1] ?? assert.fail());
    await litter(store, 'whole/0');
    await chmod(store.pathOf('repositories/locked/away/_manifests'), 0);
    server = running.use(await startUnprivileged(store));
  });
  after(() => running.disposeAsync());

  it('is served where it is whole, from the first request on', async () => {
    assert.ok((await verifyContents(server, holdings)) > 40);
  });

  for (const [title, damage] of Object.entries(DAMAGES)) {
    it(`has ${title}, and answers in clear words`, async () => {
      const tree = damaged.get(title);
      assert.ok(tree !== undefined);
      await hasStatus(server, `/v2/${tree.name}/manifests/v1`, damage.byTag);
      await hasStatus(server, `/v2/${tree.name}/manifests/${digestOf(tree.image.bytes)}`, damage.byDigest);
      await hasStatus(server, `/v2/${tree.name}/blobs/${digestOf(tree.layer)}`, damage.layer);
      await hasStatus(server, `/v2/${tree.name}/tags/list`, 200);
    });
  }

  for (const [title, damage] of Object.entries(DAMAGES)) {
    if (damage.isInTheWay === true) continue;
    it(`has ${title}, and is healed by a push`, async () => {
      const tree = damaged.get(title);
      assert.ok(tree !== undefined);
      const healed = new Holdings();
      await new Pusher(server, healed).image(tree.name, tree.image, 'v1');
      await verifyContents(server, healed);
    });
  }

  it(
    'says of a directory that it may not read that it is unavailable, not that it is empty',
    {
      skip: NOT_UNPRIVILEGED,
    },
    async () => {
      await hasStatus(server, '/v2/locked/away/manifests/v1', 503);
      await hasStatus(server, '/v2/locked/away/tags/list', 503);
      await hasStatus(server, `/v2/locked/away/blobs/${lockedLayer}`, 200);
    },
  );

  it('lists what is named as repositories are, and nothing else', async () => {
    const answer = await request(server, 'GET', '/v2/_catalog?n=1000', { status: 200 });
    const { repositories } = JSON.parse(await answer.text()) as { repositories: string[] };
    for (const name of holdings.names()) assert.ok(repositories.includes(name), name);
    assert.deepEqual(
      repositories.filter((name) => !/^(?:whole|damaged|locked)\//.test(name)),
      [],
    );
  });

  it('lists tags and not the files beside them', async () => {
    const answer = await request(server, 'GET', '/v2/whole/0/tags/list', { status: 200 });
    assert.deepEqual(JSON.parse(await answer.text()), { name: 'whole/0', tags: ['v1'] });
  });

  it('lives on, and ends in order', async () => {
    await verifyContents(server, holdings);
    assert.equal(await server.stop(), 0);
    assert.ok(!server.output().includes('a worker ended unexpectedly'));
  });

  it('has said in its log what is damaged', () => {
    const lines = server.output().split('\n');
    for (const [title, { log }] of Object.entries(DAMAGES)) {
      const name = damaged.get(title)?.name ?? title;
      if (log !== undefined)
        assert.ok(
          lines.some((line) => line.includes(name) && log.test(line)),
          title,
        );
    }
  });
});

async function hasStatus(server: RunningServer, target: string, status: number): Promise<void> {
  const response = await request(server, 'GET', target, { status });
  const body = await response.text();
  if (status >= 400) assert.match(body, /^\{"errors":\[\{"code":"[A-Z_]+","message":/);
}
