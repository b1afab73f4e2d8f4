import assert from 'node:assert/strict';
import { cp, mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { FsckReport } from '../../registry/fsck/report.ts';
import type { RunningServer } from '../harness/process.ts';
import { startEntrepot } from '../harness/process.ts';
import { digestOf } from '../harness/push.ts';
import { answerOf, DrilledImage, drilledImage, DRILLS, fsck } from './drills.ts';
import { image } from './documents.ts';
import { Holdings } from './holdings.ts';
import { Pusher } from './pusher.ts';
import { Store, WITHOUT_DISTRIBUTION } from './stores.ts';
import { verifyContents, verifyHoldings } from './verify.ts';

/** Every object of the image: as it was pushed, or refused. @returns how many were refused */
async function servesRightlyOrRefuses(server: RunningServer, { name, image: document }: DrilledImage): Promise<number> {
  let refused = 0;
  const asked: [string, Uint8Array][] = [
    [`manifests/v1`, document.bytes],
    [`manifests/${digestOf(document.bytes)}`, document.bytes],
    ...document.blobs.map((bytes): [string, Uint8Array] => [`blobs/${digestOf(bytes)}`, bytes]),
  ];
  for (const [what, bytes] of asked) {
    const answer = await answerOf(server, `/v2/${name}/${what}`);
    if (answer === 'refused') refused += 1;
    else assert.equal(Buffer.compare(answer, bytes), 0, `${name}/${what}: other bytes than were pushed`);
  }
  return refused;
}

function isNamed({ findings }: FsckReport, kind: string, { name, digests }: DrilledImage): boolean {
  return findings.some(
    (finding) => finding.kind === kind && (finding.repository === name || digests.has(finding.digest ?? '')),
  );
}

describe('a store that was damaged in every way while nothing ran', { skip: WITHOUT_DISTRIBUTION }, () => {
  const whole = new Holdings();
  const drilled = new Map<string, DrilledImage>();
  const running = new AsyncDisposableStack();
  let store: Store;

  before(async () => {
    store = running.use(await Store.create());
    for (const [number, title] of Object.keys(DRILLS).entries()) {
      drilled.set(title, new DrilledImage(store, `drill/${number}`));
    }
    await store.withEntrepot(async (server) => {
      const pusher = new Pusher(server, whole);
      for (let i = 0; i < 5; i++) await pusher.image(`whole/${i}`, drilledImage(`whole/${i}`), 'v1');
      for (const { name, image: document } of drilled.values()) {
        await new Pusher(server, new Holdings()).image(name, document, 'v1');
      }
    });
    for (const [title, tree] of drilled) await DRILLS[title]?.damage(tree);
  });
  after(() => running.disposeAsync());

  it('has every damage found and named by a check without a server', async () => {
    const report = await fsck(store);
    assert.equal(report.code, 1);
    for (const [title, tree] of drilled) assert.ok(isNamed(report, DRILLS[title]?.kind ?? '', tree), title);
    const others = report.findings.filter(({ repository }) => repository?.startsWith('whole/'));
    assert.deepEqual(others, []);
  });

  it('serves what is whole, and never a wrong byte or a 500 of the rest, from the first request on', async () => {
    await using server = await startEntrepot({ root: store.root, args: ['--workers', '2'] });
    let refused = 0;
    for (const tree of drilled.values()) refused += await servesRightlyOrRefuses(server, tree);
    assert.ok(refused > 10, `only ${refused} refused`);
    await verifyContents(server, whole);
    assert.doesNotMatch(server.output(), /"level":"(?:error|fatal)"/);
  });

  it('is repaired beside the server, and nothing differs afterwards', async () => {
    await using server = await startEntrepot({ root: store.root, args: ['--workers', '2'] });
    const repaired = await fsck(store, '--repair');
    assert.equal(repaired.repaired, repaired.differences, JSON.stringify(repaired.findings, null, 1));
    const { differences, lost, code } = await fsck(store);
    assert.deepEqual([differences, code], [0, 1]);
    assert.ok(lost > 0);
    for (const [title, tree] of drilled) {
      const refused = await servesRightlyOrRefuses(server, tree);
      assert.equal(refused > 0, DRILLS[title]?.isLost, `${title}: ${refused} refused`);
    }
    await verifyContents(server, whole);
  });

  it('is served by Distribution where it is whole', async () => {
    await store.withDistribution(async (server) => {
      const holdings = new Holdings();
      for (let i = 0; i < 5; i++) note(holdings, `whole/${i}`, drilledImage(`whole/${i}`));
      for (const [title, { name, image: document }] of drilled) {
        if (DRILLS[title]?.isLost === false) note(holdings, name, document);
      }
      await verifyContents(server, holdings, 'distribution');
    });
  });

  it('is whole again when what was lost was pushed again, and Distribution serves all of it', async () => {
    const all = new Holdings();
    await store.withEntrepot(async (server) => {
      const pusher = new Pusher(server, all);
      for (const { name, image: document } of drilled.values()) await pusher.image(name, document, 'v1');
      for (let i = 0; i < 5; i++) note(all, `whole/${i}`, drilledImage(`whole/${i}`));
      const { findings, code } = await fsck(store);
      assert.deepEqual(findings, []);
      assert.equal(code, 0);
      await verifyHoldings(server, all, 'entrepot');
    });
    await store.withDistribution((server) => verifyHoldings(server, all, 'distribution'));
  });
});

function note(holdings: Holdings, name: string, document: ReturnType<typeof drilledImage>): void {
  for (const bytes of document.blobs) holdings.addBlob(name, digestOf(bytes), bytes);
  holdings.addManifest(name, digestOf(document.bytes), document, ['v1']);
}

/** What happens to a store with an image that was pushed early and one that was pushed late, and what a check says. */
const TIMES: Readonly<Record<string, { readonly between: Times; readonly kinds: readonly string[] }>> = {
  'whose index was deleted': {
    between: { late: (store) => rm(path.join(store.root, '.meta'), { recursive: true }) },
    kinds: ['blob-unknown', 'repository-unknown'],
  },
  'whose index is an old one': {
    between: {
      early: async (store) => cp(meta(store), path.join(store.root, 'kept'), { recursive: true }),
      late: async (store) => {
        await rm(meta(store), { recursive: true });
        await cp(path.join(store.root, 'kept'), meta(store), { recursive: true });
      },
    },
    kinds: ['blob-unknown', 'repository-unknown', 'tag-differs'],
  },
  'into which Distribution pushed meanwhile': {
    between: {},
    kinds: ['blob-unknown', 'repository-unknown', 'tag-differs'],
  },
};

interface Times {
  readonly early?: (store: Store) => Promise<void>;
  readonly late?: (store: Store) => Promise<void>;
}

function meta(store: Store): string {
  return path.join(store.root, '.meta');
}

describe('a store', { skip: WITHOUT_DISTRIBUTION }, () => {
  for (const [title, { between, kinds }] of Object.entries(TIMES)) {
    for (const isServed of [false, true]) {
      it(`${title} is found to differ, served whole${isServed ? ' by a start' : ' after a repair'}, and nothing differs then`, async () => {
        await using store = await Store.create();
        const holdings = new Holdings();
        await store.withEntrepot(async (server) => {
          await new Pusher(server, holdings).image('app', image('early'), 'v1');
        });
        await between.early?.(store);
        const pushLate = async (server: RunningServer) => {
          await new Pusher(server, holdings).image('app', image('late'), 'v1', 'late');
          await new Pusher(server, holdings).image('new/app', image('new'), 'v1');
        };
        await (title.includes('Distribution') ? store.withDistribution(pushLate) : store.withEntrepot(pushLate));
        await between.late?.(store);
        await mkdir(meta(store), { recursive: true });
        const found = await fsck(store);
        for (const kind of kinds)
          assert.ok(kind in found.byKind, `${kind} is not among ${JSON.stringify(found.byKind)}`);
        assert.deepEqual([found.code, found.lost], [1, 0]);
        if (!isServed) {
          const { code } = await fsck(store, '--repair');
          assert.equal(code, 0);
        }
        await store.withEntrepot(async (server) => {
          await verifyHoldings(server, holdings, 'entrepot');
          if (isServed) assert.equal((await fsck(store, '--repair')).code, 0);
          const { findings, code } = await fsck(store);
          assert.deepEqual([findings, code], [[], 0]);
        });
        await store.withDistribution((server) => verifyHoldings(server, holdings, 'distribution'));
      });
    }
  }
});
