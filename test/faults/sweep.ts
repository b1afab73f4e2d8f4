import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { Client } from './client.ts';
import { Ledger } from './ledger.ts';
import type { Plan } from './shim.ts';
import { startPlain, startShimmed, type ShimmedServer } from './shimmed-server.ts';
import { assertClearlyUnavailable, pull, push, trialImage, tryPush, type TrialImage } from './trial.ts';
import { findings } from './verdict.ts';
import { verifyRegistry } from './verify.ts';
import { TreeVerifier } from './verify-tree.ts';

const STABLE = 'stable/app';

// No two pushes make quite the same number of calls: the index is tidied up now and then.
const HIT_AT_LEAST = 0.9;

/** An image on its way to a repository. */
interface Trial {
  readonly name: string;
  readonly image: TrialImage;
}

/** Pushes one image after the other, and lets another system call fail in each. */
export class Sweep implements AsyncDisposable {
  readonly #name: string;
  readonly #shimmed: ShimmedServer;
  readonly #ledger = new Ledger();
  readonly #stable;
  #hit = 0;
  #refused = 0;
  #slowestMs = 0;
  readonly #unfinished: Trial[] = [];
  #counted = '';
  /** Faults in spite of which the push was answered with success: kind of call, and what it was on. */
  readonly #survived = new Map<string, number>();
  /** Those because of which it was refused. */
  readonly #refusedFor = new Map<string, number>();
  readonly #layerBytes: number | undefined;

  private constructor(name: string, shimmed: ShimmedServer, layerBytes: number | undefined) {
    this.#name = name;
    this.#shimmed = shimmed;
    this.#layerBytes = layerBytes;
    this.#stable = trialImage(`${name} stable`, 200_000);
  }

  /**
   * Starts a server and pushes an image that every pull has to give, whatever fails.
   *
   * @param layerBytes of the images in whose pushes something fails
   */
  static async open(name: string, layerBytes?: number): Promise<Sweep> {
    const sweep = new Sweep(name, await startShimmed(), layerBytes);
    await push(sweep.#to(STABLE), sweep.#stable);
    return sweep;
  }

  /**
   * One trial for each call that an undisturbed push makes.
   *
   * @param stride take only every so manieth of them
   */
  async run(plan: Plan, stride = 1): Promise<void> {
    const calls = await this.#count(plan);
    for (let nth = 1; nth <= calls; nth += stride) await this.#trial({ ...plan, nth });
    await Promise.all(this.#unfinished.map((trial) => this.#finish(trial)));
    assert.ok(this.#hit >= HIT_AT_LEAST * Math.floor(calls / stride), `${this.#hit} faults hit of ${calls} calls`);
  }

  /** Everything that was acknowledged, by the server that went through it all and by one that starts anew. */
  async verify(): Promise<void> {
    assert.deepEqual(findings(await verifyRegistry(this.#shimmed.client, this.#ledger, 'all')), []);
    await this.#shimmed.server.kill();
    assert.deepEqual(findings(await new TreeVerifier(this.#shimmed.root).verify('all')), []);
    await using server = await startPlain(this.#shimmed.root);
    using client = new Client(server.url);
    assert.deepEqual(findings(await verifyRegistry(client, this.#ledger, 'all')), []);
  }

  tell(t: TestContext): void {
    t.diagnostic(`${this.#counted}; ${this.#hit} faults hit, ${this.#refused} pushes answered with 503, 0 wrong`);
    for (const [fault, times] of this.#survived) t.diagnostic(`the push succeeded all the same: ${times} x ${fault}`);
    t.diagnostic(`${this.#ledger.acknowledged} acknowledged, ${this.#ledger.uncertain} uncertain, 0 lost`);
    t.diagnostic(`the same push again took ${Math.round(this.#slowestMs)} ms at most`);
    assert.ok(this.#refused > 0, 'no fault was ever seen by a client');
  }

  /** No push was answered with success in spite of `fault`, and at least `times` were refused for it. */
  assertRefused(fault: string, times: number): void {
    assert.equal(this.#survived.get(fault), undefined, `a push succeeded in spite of ${fault}`);
    const refused = this.#refusedFor.get(fault) ?? 0;
    assert.ok(refused >= times, `${refused} pushes were refused for ${fault}`);
  }

  async #count(plan: Plan): Promise<number> {
    const { shim } = this.#shimmed;
    // Beside the trials: their parent directory is made once.
    await push(this.#to('trial/warm-up'), trialImage(`${this.#name} warm up`, this.#layerBytes));
    await shim.arm({ ...plan, mode: 'count' });
    await push(this.#to('trial/counted'), trialImage(`${this.#name} counted`, this.#layerBytes));
    const { count, byKind } = await shim.look();
    await shim.disarm();
    assert.ok(count > 0, 'the shim sees no call');
    for (const kind of plan.kinds ?? []) if (byKind[kind] === 0) this.#counted += `no ${kind}, `;
    this.#counted += `${count} calls (${Object.entries(byKind)
      .map(([kind, times]) => `${kind} ${times}`)
      .join(', ')})`;
    return count;
  }

  async #trial(plan: Plan): Promise<void> {
    const { shim, client } = this.#shimmed;
    const trial = { name: `trial/n${plan.nth}`, image: trialImage(`${this.#name} ${plan.nth}`, this.#layerBytes) };
    await shim.arm(plan);
    const refusal = await tryPush(this.#to(trial.name), trial.image);
    const { hits, first = 'nothing' } = await shim.look();
    if (plan.mode === 'fail on') await pull(client, STABLE, this.#stable);
    await shim.disarm();
    try {
      if (refusal !== undefined) assertClearlyUnavailable(refusal);
      await pull(client, STABLE, this.#stable);
      // What a lasting fault broke off is given up after seconds: meanwhile others go on.
      if (plan.mode === 'fail on') this.#unfinished.push(trial);
      else await this.#finish(trial);
      await push(this.#to(`other/n${plan.nth}`), trialImage(`${this.#name} other ${plan.nth}`));
    } catch (error) {
      throw new Error(`${this.#name} ${plan.nth}, ${first}: ${String(error)}`, { cause: error });
    }
    this.#hit += hits > 0 ? 1 : 0;
    this.#refused += refusal === undefined ? 0 : 1;
    if (hits > 0) note(refusal === undefined ? this.#survived : this.#refusedFor, first);
  }

  /** The same push again, which now goes through. */
  async #finish({ name, image }: Trial): Promise<void> {
    const start = performance.now();
    await push(this.#to(name), image);
    this.#slowestMs = Math.max(this.#slowestMs, performance.now() - start);
    await pull(this.#shimmed.client, name, image);
  }

  #to(repository: string) {
    return { client: this.#shimmed.client, ledger: this.#ledger, repository };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#shimmed[Symbol.asyncDispose]();
  }
}

function note(faults: Map<string, number>, fault: string): void {
  const kind = fault
    .replaceAll(/[0-9a-f]{64}/g, '<hex>')
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<id>')
    .replace(/\/[0-9a-f]{2}\//, '/<2>/')
    .replace(/n\d+/, '<name>');
  faults.set(kind, (faults.get(kind) ?? 0) + 1);
}
