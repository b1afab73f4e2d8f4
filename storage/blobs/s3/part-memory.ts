/**
 * The memory that all uploads of a process may hold for parts on their way. Each upload has one share as long as it holds
 * bytes, and further ones only while nobody waits for a first: so nobody waits for somebody who waits.
 */
export class PartMemory {
  readonly #shares: number;
  #taken = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(bytes: number, shareBytes: number) {
    this.#shares = Math.max(1, Math.floor(bytes / shareBytes));
  }

  /** Waits for a share; in the order of the calls. */
  async take(): Promise<Share> {
    if (this.#taken >= this.#shares) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#taken += 1;
    return this.#share();
  }

  /** A share if one is free and nobody waits. */
  tryTake(): Share | undefined {
    if (this.#taken >= this.#shares) return undefined;
    this.#taken += 1;
    return this.#share();
  }

  #share(): Share {
    let isGivenBack = false;
    return {
      giveBack: () => {
        if (isGivenBack) return;
        isGivenBack = true;
        const next = this.#waiting.shift();
        if (next === undefined) this.#taken -= 1;
        else next();
      },
    };
  }
}

export interface Share {
  /** Does nothing the second time. */
  giveBack(): void;
}
