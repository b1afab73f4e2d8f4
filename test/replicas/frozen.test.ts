import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, Disconnected, type Answer } from '../faults/client.ts';
import { pushBlob, type Destination } from '../faults/blob-push.ts';
import { Ledger } from '../faults/ledger.ts';
import { deleteTag, pushManifest } from '../faults/manifest-push.ts';
import { Random } from '../faults/random.ts';
import { push, trialImage, TRIAL_TAG, type TrialImage } from '../faults/trial.ts';
import { findings } from '../faults/verdict.ts';
import { HoldingProxy, type IsHeld } from '../harness/holding-proxy.ts';
import { missingForReplicas, Replicas, type Replica } from '../scale/replicas.ts';
import { versitygw, type S3Server } from '../scale/s3-servers.ts';
import { LEASE_IS_GIVEN_UP_MS } from './misfortune.ts';
import { untilQuiet } from './quiet.ts';
import { verifyReplicas } from './verify-replicas.ts';

const [OLD, LATE, NEW] = ['old', 'late', 'new'].map((seed) => trialImage(seed)) as [TrialImage, TrialImage, TrialImage];

/** Something that a server is stopped in the middle of. */
interface Change {
  readonly repository: string;
  /** What the server sent last, and what is late. */
  readonly isHeld: IsHeld;
  /** What the client asks it for. */
  readonly ask: (client: Client, repository: string) => Promise<Answer>;
}

const CHANGES: readonly Change[] = [
  {
    repository: 'frozen/moving-a-tag',
    isHeld: (method, target) => method === 'PUT' && target.includes(`/tags/${TRIAL_TAG}/current/link`),
    ask: (client, repository) => {
      const { bytes, mediaType } = LATE.document;
      const headers = { 'Content-Type': mediaType };
      return client.send('PUT', `/v2/${repository}/manifests/${TRIAL_TAG}`, { headers, body: bytes });
    },
  },
  {
    repository: 'frozen/deleting-a-tag',
    isHeld: (method, target) => method === 'DELETE' || (method === 'POST' && /[?&]delete\b/.test(target)),
    ask: (client, repository) => client.send('DELETE', `/v2/${repository}/manifests/${TRIAL_TAG}`),
  },
  {
    repository: 'frozen/deleting-a-manifest',
    isHeld: (method, target) => method === 'DELETE' || (method === 'POST' && /[?&]delete\b/.test(target)),
    ask: (client, repository) => client.send('DELETE', `/v2/${repository}/manifests/${OLD.document.digest}`),
  },
];

describe('a server that was frozen for longer than its lease', { skip: missingForReplicas }, () => {
  const resources = new AsyncDisposableStack();
  let proxy: HoldingProxy;
  let replicas: Replicas;
  let frozen: Replica;
  let other: Replica;
  const ledger = new Ledger();
  before(async () => {
    const bucket: S3Server = resources.use(await versitygw.start());
    proxy = resources.use(await HoldingProxy.start(bucket.options.endpoint ?? ''));
    const throughProxy = { ENTREPOT_STORAGE_S3_ENDPOINT: proxy.endpoint };
    replicas = resources.use(
      await Replicas.start({ count: 2, bucket, envOf: (index) => (index === 0 ? throughProxy : {}) }),
    );
    [frozen, other] = replicas.members as [Replica, Replica];
  });
  after(() => resources.disposeAsync());

  it('changes nothing late, whatever it was at', async (t) => {
    using client = new Client(other.url, 60_000);
    using late = new Client(frozen.url, 120_000);
    const places = CHANGES.map(({ repository }) => ({ client, ledger, repository }));
    for (const to of places) for (const image of [LATE, NEW, OLD]) await push(to, image);
    const asked: Promise<unknown>[] = [];
    for (const { repository, isHeld, ask } of CHANGES) {
      const held = proxy.holdNext(isHeld);
      asked.push(ask(late, repository).catch((error: unknown) => error));
      await held;
    }
    frozen.freeze();
    try {
      await untilGivenUp();
      for (const to of places) await changeTheSame(to);
      const statuses = await proxy.release();
      t.diagnostic(`the S3 server answers ${statuses.join(', ')} to what comes late`);
      assert.ok(statuses.length >= CHANGES.length && statuses.every((status) => status >= 400), statuses.join());
    } finally {
      frozen.thaw();
    }
    for (const answer of await Promise.all(asked)) {
      if (!(answer instanceof Disconnected)) assert.equal((answer as Answer).status, 503);
    }
    await untilQuiet(replicas);
    assert.deepEqual(findings(await verifyReplicas(replicas, ledger)), []);
    // It has a new lease by then, and is as good as before.
    for (const to of places) await push({ ...to, client: late }, LATE);
    assert.deepEqual(findings(await verifyReplicas(replicas, ledger)), []);
  });

  it('says nothing before what had no answer can come no more', async (t) => {
    using client = new Client(other.url, 60_000);
    using cut = new Client(frozen.url, 120_000);
    for (const { repository, isHeld, ask } of CHANGES) {
      const to = { client, ledger, repository: `${repository}-without-answer` };
      for (const image of [LATE, NEW, OLD]) await push(to, image);
      const held = proxy.holdNext(isHeld);
      const asked = ask(cut, to.repository);
      await held;
      // It sends that again, which is answered.
      proxy.cut();
      const { status } = await asked;
      assert.ok(status < 300, `${repository}: ${status}`);
      await changeTheSame(to);
      const statuses = await proxy.release();
      t.diagnostic(`${repository}: the S3 server answers ${statuses.join(', ')} to what comes late`);
      assert.ok(statuses.length > 0 && statuses.every((code) => code >= 400), statuses.join());
    }
    await untilQuiet(replicas);
    assert.deepEqual(findings(await verifyReplicas(replicas, ledger)), []);
  });

  async function untilGivenUp(): Promise<void> {
    const deadline = performance.now() + 2 * LEASE_IS_GIVEN_UP_MS;
    for (;;) {
      const leases = await replicas.postgres.query(replicas.database.database, 'SELECT id FROM replica');
      if (leases.length < replicas.members.length) return;
      assert.ok(performance.now() < deadline, 'its lease is never given up');
      await delay(100);
    }
  }
});

/** What others do meanwhile, and are told that it is done. */
async function changeTheSame(to: Destination): Promise<void> {
  await deleteTag(to, TRIAL_TAG);
  await pushManifest(to, OLD.document, TRIAL_TAG);
  await pushBlob(to, NEW.blobs[0] ?? assert.fail(), 'single', new Random('again'));
  await pushManifest(to, NEW.document, TRIAL_TAG);
}
