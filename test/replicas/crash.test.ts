import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from '../faults/client.ts';
import { Ledger } from '../faults/ledger.ts';
import { pushConcurrently } from '../faults/pusher.ts';
import { Random } from '../faults/random.ts';
import { findings } from '../faults/verdict.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { missingForReplicas, Replicas } from '../scale/replicas.ts';
import { seaweedfs, versitygw } from '../scale/s3-servers.ts';
import { Misfortune } from './misfortune.ts';
import { untilQuiet } from './quiet.ts';
import { verifyReplicas } from './verify-replicas.ts';

const SECONDS = Number(process.env['ENTREPOT_TEST_SECONDS'] ?? 50);
const SEED = process.env['ENTREPOT_TEST_SEED'] ?? String(Date.now());
const PUSHERS = 8;
// Whose lock a dead server holds waits for the end of its lease; whoever talks to a frozen one waits for its thaw.
const PATIENCE_MS = 60_000;
const MIB = 1024 * 1024;
// Of each large layer whose digest comes last.
const COPY_LATER = { ENTREPOT_STORAGE_S3_COPY_LATER_FROM: '1MiB' };
const SETTINGS = [
  { s3: versitygw, workers: 1 },
  { s3: seaweedfs, workers: 2 },
];

for (const { s3, workers } of SETTINGS) {
  const title = `three servers on PostgreSQL and ${s3.name}, ${workers} worker${workers === 1 ? '' : 's'} each`;
  describe(title, { skip: missingForReplicas === false ? s3.missing : missingForReplicas }, () => {
    it('lose nothing while one is killed and one is frozen every few seconds', async (t) => {
      await using replicas = await Replicas.start({ s3, workers, env: COPY_LATER });
      const ledger = new Ledger();
      await pushThroughMisfortune(t, replicas, ledger);
      await untilQuiet(replicas);
      const verdict = await verifyReplicas(replicas, ledger);
      t.diagnostic(`${verdict.checked} checks, ${verdict.hashedBytes} bytes hashed`);
      assert.deepEqual(findings(verdict), [], `seed ${SEED}`);
      await askFsck(replicas);
    });
  });
}

async function pushThroughMisfortune(t: TestContext, replicas: Replicas, ledger: Ledger): Promise<void> {
  using client = new Client(replicas.url, PATIENCE_MS);
  const stop = new AbortController();
  const options = {
    client,
    ledger,
    seed: SEED,
    pushers: PUSHERS,
    signal: stop.signal,
    deletesTags: true,
    largeLayers: 4,
  };
  const pushing = pushConcurrently(options);
  const misfortune = new Misfortune(replicas.members, new Random(SEED));
  await Promise.race([pushing, delay(SECONDS * 1000)]);
  await misfortune.end();
  stop.abort();
  await pushing;
  const { kills, freezes, longFreezes } = misfortune;
  const { failed, served } = replicas.balancer;
  t.diagnostic(`seed ${SEED}: ${kills} killed, ${freezes} frozen, ${longFreezes} of them for longer than their lease`);
  t.diagnostic(`${ledger.acknowledged} acknowledged, ${ledger.uncertain} uncertain, of ${PUSHERS} pushers`);
  t.diagnostic(`${served.join(', ')} requests, ${failed} answered with 502, ${client.timedOut} given up`);
  const unclear = ledger.complaints.filter(
    (complaint) => !/ answered 50[23]: (?:\{"errors":|bad gateway)/.test(complaint),
  );
  assert.deepEqual(unclear, [], 'answers that no healthy server gives');
  assert.ok(kills > SECONDS / 20 && longFreezes > 0, 'too little happened');
  const large = [...ledger.sizes.values()].filter((size) => size > 8 * MIB).length;
  t.diagnostic(`${large} large layers`);
  assert.ok(large > 1, 'too few copies were left for later');
  assert.ok(ledger.acknowledged > SECONDS && ledger.uncertain > 0, 'too little was under way');
}

/** The servers hold the tree against the index themselves. Bytes of a push that a crash broke off are waste, and no harm. */
async function askFsck({ env }: Replicas): Promise<void> {
  await using elsewhere = await temporaryDirectory();
  const { stdout, stderr } = await runEntrepot(['fsck', '--root', elsewhere.path], { env, timeoutMs: 120_000 });
  assert.match(stdout, /\d+ repositories, \d+ tags/, stderr);
  const kinds = [...stdout.matchAll(/^(\S+) \(\d+, /gm)].map(([, kind]) => kind);
  assert.deepEqual(
    kinds.filter((kind) => kind !== 'blob-unknown'),
    [],
    stdout,
  );
}
