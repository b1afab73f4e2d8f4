import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { RunningServer } from '../harness/process.ts';
import { PUSHERS, pushAndStrike } from './crash-round.ts';
import { Ledger } from './ledger.ts';
import { Random } from './random.ts';
import { startSubject } from './subject.ts';
import { addVerdict, emptyVerdict, findings, type Verdict } from './verdict.ts';
import { readBack } from './verify.ts';
import { TreeVerifier } from './verify-tree.ts';

/** What makes a crash more than the death of the processes. */
export interface Disaster {
  /** Comes while the server runs. */
  readonly strike: () => Promise<void>;
  /** How long the server goes on after it. */
  readonly lingerMs: number;
  /** Comes when the server is dead. */
  readonly restart: () => Promise<void>;
}

/** One store that lives through many crashes. Every fault that it finds fails the test at once. */
export class CrashedStore {
  readonly ledger = new Ledger();
  readonly #acknowledgedPerRound: number[] = [];
  readonly #root: string;
  readonly #seed: string;
  readonly #tree: TreeVerifier;
  readonly #sum = emptyVerdict();

  constructor(root: string, seed: string) {
    this.#root = root;
    this.#seed = seed;
    this.#tree = new TreeVerifier(root);
  }

  /** Starts, reads back what the last crash may have touched, pushes, crashes, looks at the disk. */
  async crash(seed: string, disaster?: Disaster): Promise<void> {
    const random = new Random(seed);
    await using server = await this.#start(random);
    await this.#readBack(server, 'unsettled', seed);
    const before = this.ledger.acknowledged;
    const strike = () => this.#strike(server, disaster);
    const pushMs = random.integer(100, 600);
    const timedOut = await pushAndStrike({ server, ledger: this.ledger, seed, pushMs, strike });
    assert.equal(timedOut, 0, 'requests that nobody answered');
    this.#acknowledgedPerRound.push(this.ledger.acknowledged - before);
    await disaster?.restart();
    this.#judge(await this.#tree.verify('new'), seed);
  }

  /** Everything that was ever acknowledged, once more, and every file of the tree. */
  async verifyAll(): Promise<void> {
    await using server = await this.#start(new Random(this.#seed));
    await this.#readBack(server, 'all', 'the last');
    await server.stop();
    this.#judge(await this.#tree.verify('all'), 'the last');
  }

  tell(t: TestContext): void {
    const sorted = this.#acknowledgedPerRound.toSorted((a, b) => a - b);
    const [least, median, most] = [sorted[0], sorted[sorted.length >> 1], sorted.at(-1)];
    const { checked, hashedBytes, lost, wrong } = this.#sum;
    t.diagnostic(`seed ${this.#seed}: ${sorted.length} crashes under ${PUSHERS} pushers`);
    t.diagnostic(`${this.ledger.acknowledged} acknowledged, per crash ${least} to ${most}, in the median ${median}`);
    t.diagnostic(`${this.ledger.uncertain} under way, ${checked} checks, ${hashedBytes} bytes hashed`);
    t.diagnostic(`${lost.length} lost, ${wrong.length} wrong`);
  }

  /** Fails when too little happened to prove anything. */
  assertStrong(): void {
    const crashes = this.#acknowledgedPerRound.length;
    assert.ok(Math.min(...this.#acknowledgedPerRound) > 0, 'a crash without pushes before it');
    assert.ok(this.ledger.acknowledged > 20 * crashes, 'too few pushes');
    assert.ok(this.ledger.uncertain > crashes, 'too little was under way at the crashes');
  }

  async #strike(server: RunningServer, disaster: Disaster | undefined): Promise<void> {
    assert.deepEqual(this.ledger.complaints, [], 'answers that no healthy server gives');
    if (disaster !== undefined) {
      await disaster.strike();
      await delay(disaster.lingerMs);
    }
    await server.kill();
    const unclear = this.ledger.complaints.filter((complaint) => !/ answered 503: \{"errors":/.test(complaint));
    assert.deepEqual(unclear, [], 'answers after the disaster that say something else');
    this.ledger.complaints.length = 0;
  }

  #start(random: Random): Promise<RunningServer> {
    return startSubject({ root: this.#root, args: ['--workers', String(random.integer(1, 2))] });
  }

  async #readBack(server: RunningServer, scope: 'unsettled' | 'all', round: string): Promise<void> {
    this.#judge(await readBack(server, this.ledger, scope), round);
  }

  #judge(verdict: Verdict, round: string): void {
    addVerdict(this.#sum, verdict);
    assert.deepEqual(findings(verdict), [], `seed ${this.#seed}, round ${round}`);
  }
}
