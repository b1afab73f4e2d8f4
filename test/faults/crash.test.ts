import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { temporaryDirectory, type RunningServer } from '../harness/process.ts';
import { Client } from './client.ts';
import { PUSHERS, pushAndStrike } from './crash-round.ts';
import { Ledger } from './ledger.ts';
import { Random } from './random.ts';
import { startSubject } from './subject.ts';
import { addVerdict, emptyVerdict, findings, type Verdict } from './verdict.ts';
import { verifyRegistry } from './verify.ts';
import { TreeVerifier } from './verify-tree.ts';

const ROUNDS = Number(process.env['ENTREPOT_TEST_CRASH_ROUNDS'] ?? 100);
const SEED = process.env['ENTREPOT_TEST_SEED'] ?? String(Date.now());

describe('kill -9 during concurrent pushes', { skip: ROUNDS < 1 && 'ENTREPOT_TEST_CRASH_ROUNDS is 0' }, () => {
  it(`keeps what it acknowledged over ${ROUNDS} crashes and shows nothing by halves`, async (t) => {
    await using directory = await temporaryDirectory('entrepot-crash-');
    const store = new CrashedStore(directory.path);
    for (let round = 1; round <= ROUNDS; round++) await store.crash(`${SEED} round ${round}`);
    await store.verifyAll();
    store.tell(t);
    assert.deepEqual(store.ledger.complaints, [], 'answers that no healthy server gives');
    assert.ok(Math.min(...store.acknowledgedPerRound) > 0, 'a round without pushes proves nothing');
    assert.ok(store.ledger.acknowledged > 20 * ROUNDS, 'too few pushes to prove anything');
    assert.ok(store.ledger.uncertain > ROUNDS, 'too little was under way when it crashed');
  });
});

/** One store that lives through many crashes. */
class CrashedStore {
  readonly ledger = new Ledger();
  readonly acknowledgedPerRound: number[] = [];
  readonly #root: string;
  readonly #tree: TreeVerifier;
  readonly #sum = emptyVerdict();

  constructor(root: string) {
    this.#root = root;
    this.#tree = new TreeVerifier(root);
  }

  /** Starts, reads back what the last crash may have touched, pushes, crashes, looks at the disk. */
  async crash(seed: string): Promise<void> {
    const random = new Random(seed);
    await using server = await this.#start(random);
    await this.#readBack(server, 'unsettled', seed);
    const before = this.ledger.acknowledged;
    const pushMs = random.integer(100, 600);
    await pushAndStrike({ server, ledger: this.ledger, seed, pushMs, strike: () => server.kill() });
    this.acknowledgedPerRound.push(this.ledger.acknowledged - before);
    this.#judge(await this.#tree.verify('new'), seed);
  }

  /** Everything that was ever acknowledged, once more, and every file of the tree. */
  async verifyAll(): Promise<void> {
    await using server = await this.#start(new Random(SEED));
    await this.#readBack(server, 'all', 'the last');
    await server.stop();
    this.#judge(await this.#tree.verify('all'), 'the last');
  }

  tell(t: TestContext): void {
    const sorted = this.acknowledgedPerRound.toSorted((a, b) => a - b);
    const { acknowledged, uncertain } = this.ledger;
    const { checked, hashedBytes, lost, wrong } = this.#sum;
    t.diagnostic(`seed ${SEED}, ${sorted.length} rounds of ${PUSHERS} pushers`);
    t.diagnostic(
      `${acknowledged} acknowledged (per round least ${sorted[0]}, median ${sorted[sorted.length >> 1]}, most ${sorted.at(-1)})`,
    );
    t.diagnostic(`${uncertain} under way at the crashes, ${checked} checks, ${hashedBytes} bytes hashed`);
    t.diagnostic(`${lost.length} lost, ${wrong.length} wrong`);
  }

  #start(random: Random): Promise<RunningServer> {
    return startSubject({ root: this.#root, args: ['--workers', String(random.integer(1, 2))] });
  }

  async #readBack(server: RunningServer, scope: 'unsettled' | 'all', round: string): Promise<void> {
    using client = new Client(server.url);
    this.#judge(await verifyRegistry(client, this.ledger, scope), round);
  }

  #judge(verdict: Verdict, round: string): void {
    addVerdict(this.#sum, verdict);
    assert.deepEqual(findings(verdict), [], `seed ${SEED}, round ${round}`);
  }
}
