import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../faults/random.ts';
import type { Replica } from '../scale/replicas.ts';

/** A lease lasts for 15 s, and is given up by others when they have seen it silent for 20. */
export const LEASE_IS_GIVEN_UP_MS = 24_000;

/** Kills servers and starts them again, and stops others for a while, until it is ended. One is always left in peace. */
export class Misfortune {
  readonly #members: readonly Replica[];
  readonly #random: Random;
  readonly #end = new AbortController();
  readonly #lanes: Promise<unknown>;
  kills = 0;
  freezes = 0;
  /** Freezes that lasted for longer than the lease of what was frozen. */
  longFreezes = 0;

  constructor(members: readonly Replica[], random: Random) {
    this.#members = members;
    this.#random = random;
    this.#lanes = Promise.all([this.#killing(), this.#freezing()]);
  }

  /** Afterwards all of them run. @throws whatever kept one from starting */
  async end(): Promise<void> {
    this.#end.abort();
    await this.#lanes;
  }

  async #killing(): Promise<void> {
    for (;;) {
      if (!(await this.#waits(this.#random.integer(1000, 4000)))) return;
      const victim = this.#random.pick(this.#members.filter((member) => !member.isFrozen));
      await victim.kill();
      this.kills += 1;
      await victim.restart();
    }
  }

  async #freezing(): Promise<void> {
    for (let isLong = true; ; isLong = this.#random.chance(0.5)) {
      if (!(await this.#waits(this.#random.integer(500, 3000)))) return;
      const victim = this.#random.pick(this.#members.filter((member) => member.isUp));
      victim.freeze();
      this.freezes += 1;
      const wasWhole = await this.#waits(
        isLong ? LEASE_IS_GIVEN_UP_MS + this.#random.integer(1000, 6000) : this.#random.integer(500, 4000),
      );
      victim.thaw();
      if (isLong && wasWhole) this.longFreezes += 1;
    }
  }

  /** @returns false when it is over */
  async #waits(ms: number): Promise<boolean> {
    await delay(ms, undefined, { signal: this.#end.signal }).catch(() => undefined);
    return !this.#end.signal.aborted;
  }
}
