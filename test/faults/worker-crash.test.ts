import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { temporaryDirectory } from '../harness/process.ts';
import { Client } from './client.ts';
import { PUSHERS, pushAndStrike } from './crash-round.ts';
import { Ledger } from './ledger.ts';
import { Random } from './random.ts';
import { IS_DISTRIBUTION, startSubject } from './subject.ts';
import { findings } from './verdict.ts';
import { readBack, verifyRegistry } from './verify.ts';
import { TreeVerifier } from './verify-tree.ts';

const SEED = process.env['ENTREPOT_TEST_SEED'] ?? String(Date.now());
const WORKERS = 2;
const KILLS = 12;

describe('the death of one worker', { skip: IS_DISTRIBUTION && 'it has one process' }, () => {
  it('stops nobody else and loses nothing', async (t) => {
    await using directory = await temporaryDirectory('entrepot-worker-crash-');
    await using server = await startSubject({ root: directory.path, args: ['--workers', String(WORKERS)] });
    using client = new Client(server.url);
    const ledger = new Ledger();
    const random = new Random(SEED);
    let timedOut = 0;
    for (let kill = 1; kill <= KILLS; kill++) {
      const killed = random.pick(await untilWorkers(server.pid));
      const seed = `${SEED} kill ${kill}`;
      const pushMs = random.integer(50, 400);
      const strike = async () => {
        process.kill(killed, 'SIGKILL');
        await untilProgress(ledger);
      };
      timedOut += await pushAndStrike({ server, ledger, seed, pushMs, strike, patienceMs: 8000 });
      const workers = await untilWorkers(server.pid);
      assert.ok(!workers.includes(killed), 'the worker is dead and another has its place');
      // The others finish what the dead one began, some time.
      const verdict = await verifyRegistry(client, ledger, kill === KILLS ? 'all' : 'unsettled', 'alive');
      assert.deepEqual(findings(verdict), [], `seed ${SEED}, kill ${kill}`);
    }
    await server.kill();
    assert.deepEqual(findings(await new TreeVerifier(directory.path).verify('all')), []);
    await using again = await startSubject({ root: directory.path, args: ['--workers', String(WORKERS)] });
    assert.deepEqual(findings(await readBack(again, ledger, 'all')), [], `seed ${SEED}, after a restart`);
    t.diagnostic(`seed ${SEED}: ${KILLS} workers of ${WORKERS} killed under ${PUSHERS} pushers`);
    t.diagnostic(`${ledger.acknowledged} acknowledged, ${ledger.uncertain} cut off, 0 lost, 0 wrong`);
    // node:cluster forgets a connection whose worker dies while the primary hands it over: nobody ever closes it.
    t.diagnostic(`${timedOut} requests that nobody answered`);
    assert.ok(timedOut <= KILLS, 'more requests hang than a handover can explain');
    assert.deepEqual(ledger.complaints, []);
    assert.ok(ledger.uncertain > 0, 'no worker had anything under way when it died');
  });
});

/** The process ids of all workers, once they are there. */
async function untilWorkers(primary: number): Promise<number[]> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    const children = (await readFile(`/proc/${primary}/task/${primary}/children`, 'utf8')).trim();
    const workers = children === '' ? [] : children.split(' ').map(Number);
    if (workers.length >= WORKERS) return workers;
    assert.ok(performance.now() < deadline, `the primary has ${workers.length} workers`);
    await delay(10);
  }
}

/** Pushing goes on: more is acknowledged after this moment. */
async function untilProgress(ledger: Ledger): Promise<void> {
  const goal = ledger.acknowledged + PUSHERS;
  const deadline = performance.now() + 15_000;
  while (ledger.acknowledged < goal) {
    assert.ok(performance.now() < deadline, 'nothing is acknowledged any more');
    await delay(5);
  }
}
