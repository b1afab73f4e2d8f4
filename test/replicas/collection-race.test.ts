import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../../config/config.ts';
import { blobKey } from '../../storage/layout.ts';
import { Client } from '../faults/client.ts';
import {
  BLOBS,
  GRACE_MS,
  hesitating,
  Pusher,
  UNDO_MS,
  type Ledger,
  type RacedRegistry,
} from '../faults/race-pusher.ts';
import { Random } from '../faults/random.ts';
import { digestOfText } from '../harness/registry.ts';
import { startRoundRobin } from '../harness/round-robin.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { startService, type TestService } from '../harness/service.ts';
import { postgresEnvironment } from '../scale/postgres-environment.ts';
import { missingPostgres, PostgresServer } from '../scale/postgres-server.ts';
import { seaweedfs, versitygw } from '../scale/s3-servers.ts';
import { racedOverHttp } from './raced-over-http.ts';

const PUSHERS = 8;
const SERVERS = 3;
const SECONDS = Number(process.env['ENTREPOT_TEST_SECONDS'] ?? 20);
const SEED = process.env['ENTREPOT_TEST_SEED'] ?? String(Date.now());

// One of them has to be copied within the bucket, which is left for later.
const LAYERS = BLOBS.map((text, index) => (index % 16 === 3 ? text.padEnd(9 * 1024 * 1024) : text));

for (const s3Program of [versitygw, seaweedfs]) {
  const title = `the garbage collection in three servers on ${s3Program.name}, while everybody pushes and deletes the same`;
  describe(title, { skip: missingPostgres === false ? s3Program.missing : missingPostgres }, () => {
    it('breaks no image that was acknowledged, and leaves nothing in the end', async (t) => {
      await using resources = new AsyncDisposableStack();
      const postgres = resources.use(await PostgresServer.start());
      const s3 = resources.use(await s3Program.start());
      const env = {
        ...postgresEnvironment(await postgres.database()),
        ...s3Environment(s3.options),
        ENTREPOT_ACCESS_ALLOW_ANONYMOUS: 'true',
        ENTREPOT_STORAGE_S3_COPY_LATER_FROM: '1MiB',
      };
      const services: TestService[] = [];
      for (let index = 0; index < SERVERS; index++) {
        const service = resources.use(await startService({ driver: 's3', env, adjust: withShortGrace }));
        hesitating(service.service.metadata, new Random(`${SEED} server ${index}`), 5);
        services.push(service);
      }
      const balancer = resources.use(await startRoundRobin(services.map(({ url }) => url)));
      using client = new Client(balancer.url, 60_000);
      const ledger: Ledger = new Map();
      const registry = racedOverHttp(client, services);
      const pushers = Array.from({ length: PUSHERS }, (_, index) => {
        const random = new Random(`${SEED} ${index}`);
        return new Pusher(registry, random, ledger, `pusher-${index}`, undefined, LAYERS);
      });
      const end = performance.now() + SECONDS * 1000;
      let removed = 0;
      // Each of them collects, and lets the one whose turn it is do it.
      const collecting = services.map(async (service) => {
        while (performance.now() < end) {
          removed += await collect(service);
          await delay(1);
        }
      });
      const pushing = pushers.map(async (pusher) => {
        while (performance.now() < end) await pusher.step();
      });
      await Promise.all([...collecting, ...pushing]);

      for (const image of ledger.values()) await registry.assertWhole(image);
      const sum = (of: (pusher: Pusher) => number) => pushers.reduce((total, pusher) => total + of(pusher), 0);
      const [acknowledged, restored] = [sum((pusher) => pusher.acknowledged), sum((pusher) => pusher.restored)];
      t.diagnostic(
        `seed ${SEED}: ${acknowledged} acknowledged, ${ledger.size} kept and whole, ${removed} blobs removed meanwhile, ` +
          `${restored} restored, ${sum((pusher) => pusher.refused)} manifests came too late`,
      );
      t.diagnostic(`requests: ${balancer.served.join(', ')}`);
      assert.equal(balancer.failed, 0);
      assert.ok(acknowledged > SECONDS && removed > SECONDS / 2 && restored > 0, 'too little happened');
      await deleteAll(services, ledger, registry);
      for (const content of LAYERS) {
        const key = blobKey(digestOfText(content));
        assert.equal(await services[0]?.service.driver.stat(key), undefined, content.trimEnd());
      }
    });
  });
}

/** Shorter than anybody may configure it: the collection is always right behind the pushes. */
function withShortGrace(config: Config): Config {
  return { ...config, collection: { isOn: true, graceMs: GRACE_MS, undoMs: UNDO_MS } };
}

/** @returns how many blobs it removed */
async function collect({ service }: TestService): Promise<number> {
  const { registry } = service;
  await registry.undo.expire();
  const collected = await registry.collection.runUnlessDone(0, async () => true);
  await registry.maintenance.verifyDoubted(async () => {});
  return typeof collected === 'object' ? collected.removed : 0;
}

/** Nobody wants any of it any more: not a row may be left. */
async function deleteAll(services: readonly TestService[], ledger: Ledger, registry: RacedRegistry): Promise<void> {
  for (const { repository, digest } of ledger.values()) await registry.deleteManifest(repository, digest);
  await delay(UNDO_MS + GRACE_MS * 2);
  for (let round = 0; round < 5; round++) {
    for (const service of services) await collect(service);
    await delay(GRACE_MS * 2);
  }
  assert.deepEqual(await services[0]?.service.metadata.collection.garbage('', 100), []);
}
