import type { StoreShape } from './store-shape.ts';

// Prime: all images come by.
const STRIDE = 7919;

/** Pulls manifests of all repositories by their tags, one after the other, until it is stopped. */
export class Puller {
  readonly #end = new AbortController();
  readonly #done: Promise<void>;
  #pulls = 0;
  #slowestMs = 0;

  constructor(host: string, shape: StoreShape) {
    this.#done = this.#pull(host, shape);
    // Told by `stop`.
    this.#done.catch(() => {});
  }

  /** @throws Error for the first answer that was not the right manifest */
  async stop(): Promise<{ readonly pulls: number; readonly slowestMs: number }> {
    this.#end.abort();
    await this.#done;
    return { pulls: this.#pulls, slowestMs: this.#slowestMs };
  }

  async #pull(host: string, shape: StoreShape): Promise<void> {
    for (let number = 0; !this.#end.signal.aborted; number = (number + STRIDE) % shape.size.manifests) {
      const { name, tags, manifest } = shape.image(number);
      const start = performance.now();
      const answer = await fetch(`http://${host}/v2/${name}/manifests/${tags[0]}`);
      const found = answer.headers.get('docker-content-digest');
      await answer.arrayBuffer();
      if (found !== manifest.digest) throw new Error(`${name}:${tags[0]} answered ${answer.status} ${found}`);
      this.#slowestMs = Math.max(this.#slowestMs, performance.now() - start);
      this.#pulls += 1;
    }
  }
}
