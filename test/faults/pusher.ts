import { Disconnected, type Client } from './client.ts';
import { mountBlob, pushBlob, Refused, STYLES, type Destination } from './blob-push.ts';
import {
  configBlob,
  imageDocument,
  indexDocument,
  largeBlob,
  randomBlob,
  type Blob,
  type Document,
} from './content.ts';
import type { Ledger } from './ledger.ts';
import { deleteBlob, deleteManifest, deleteTag, pushManifest } from './manifest-push.ts';
import { Random } from './random.ts';

export interface CrowdOptions {
  readonly client: Client;
  readonly ledger: Ledger;
  /** All that is pushed follows from it, though not the order in which the server sees it. */
  readonly seed: string;
  readonly pushers: number;
  /** Ends the pushing: nobody begins anything new after it. */
  readonly signal: AbortSignal;
  /** Further ways to act, for servers that have them. */
  readonly deletesTags?: boolean;
  /** Of a hundred layers, so many are large. */
  readonly largeLayers?: number;
}

const TAGS = ['latest', 'v1', 'v2', 'v3', 'edge', 'stable'] as const;
const SHARED = 'shared/app';

/**
 * Lets a crowd of clients push, tag and delete at once until `signal`. Each has two repositories of its own, in which it
 * also deletes; all move the tags of one that they share, and mount from each other.
 */
export async function pushConcurrently(options: CrowdOptions): Promise<void> {
  const pushers = Array.from({ length: options.pushers }, (_, at) => new Pusher(options, at));
  await Promise.all(pushers.map((pusher) => pusher.run()));
}

class Pusher {
  readonly #options: CrowdOptions;
  readonly #random: Random;
  readonly #own: readonly [Destination, Destination];
  readonly #shared: Destination;

  constructor(options: CrowdOptions, at: number) {
    const { client, ledger, seed } = options;
    this.#options = options;
    this.#random = new Random(`${seed} pusher ${at}`);
    this.#own = [
      { client, ledger, repository: `team${at}/app` },
      { client, ledger, repository: `team${at}/deep/er/lib` },
    ];
    this.#shared = { client, ledger, repository: SHARED };
  }

  async run(): Promise<void> {
    while (!this.#options.signal.aborted) {
      try {
        await this.#act();
      } catch (error) {
        // The first is for the ledger to judge, the second stands in its complaints.
        if (!(error instanceof Disconnected) && !(error instanceof Refused)) throw error;
      }
      // An answer of a dead server comes at once: leave the event loop its turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async #act(): Promise<void> {
    const kind = this.#random.integer(1, 100);
    const to = this.#random.pick(this.#own);
    if (kind <= 45) await this.#pushImage(to, this.#random.pick(TAGS));
    else if (kind <= 55) await this.#pushImage(to, undefined);
    else if (kind <= 65) await this.#pushIndex(to);
    else if (kind <= 75) await this.#retag(to);
    else if (kind <= 87) await this.#pushImage(this.#shared, this.#random.pick(TAGS));
    else if (kind <= 91) await this.#loseTag(to);
    else if (kind <= 95) await this.#loseManifest(to);
    else await this.#looseBlob(to);
  }

  async #pushImage(to: Destination, tag: string | undefined): Promise<Document> {
    const config = configBlob(this.#random);
    const layers = Array.from({ length: this.#random.integer(1, 3) }, () => this.#layer());
    const distinct = [...new Map([config, ...layers].map((blob) => [blob.digest, blob])).values()];
    // Layers go up side by side, as the clients send them.
    await settled(distinct.map((blob) => this.#provide(to, blob)));
    const document = imageDocument(config, layers, this.#random.chance(0.7) ? 'oci' : 'docker');
    await pushManifest(to, document, tag);
    return document;
  }

  #layer(): Blob {
    const { largeLayers = 0 } = this.#options;
    return this.#random.chance(largeLayers / 100) ? largeBlob(this.#random) : randomBlob(this.#random);
  }

  async #pushIndex(to: Destination): Promise<void> {
    const children = [await this.#pushImage(to, undefined), await this.#pushImage(to, undefined)];
    await pushManifest(to, indexDocument(children), this.#random.pick(TAGS));
  }

  async #provide(to: Destination, blob: Blob): Promise<void> {
    const { ledger } = to;
    const source = this.#random.chance(0.7) ? undefined : this.#sourceOf(blob, to.repository);
    ledger.sizes.set(blob.digest, blob.bytes.length);
    if (source !== undefined) await mountBlob(to, blob, source, this.#random);
    else if (!ledger.has('blob', to.repository, blob.digest) || this.#random.chance(0.2)) {
      await pushBlob(to, blob, this.#random.pick(STYLES), this.#random);
    }
  }

  #sourceOf({ digest }: Blob, repository: string): string | undefined {
    const candidates = [...this.#own.map((own) => own.repository), SHARED, 'team0/app', 'team1/app'];
    return candidates.find((source) => source !== repository && this.#options.ledger.has('blob', source, digest));
  }

  /** Points a tag to a manifest that is there already. */
  async #retag(to: Destination): Promise<void> {
    const { ledger } = this.#options;
    const known = ledger.present('manifest', to.repository);
    const document = known.length === 0 ? undefined : ledger.documents.get(this.#random.pick(known).name);
    if (document === undefined) await this.#pushImage(to, this.#random.pick(TAGS));
    else await pushManifest(to, document, this.#random.pick(TAGS));
  }

  async #loseTag(to: Destination): Promise<void> {
    const known = this.#options.ledger.present('tag', to.repository);
    if (known.length === 0 || this.#options.deletesTags === false) return this.#retag(to);
    await deleteTag(to, this.#random.pick(known).name);
  }

  async #loseManifest(to: Destination): Promise<void> {
    const { ledger } = this.#options;
    const known = ledger.present('manifest', to.repository).filter(({ name }) => !ledger.isChild(name));
    if (known.length < 3) return this.#retag(to);
    await deleteManifest(to, this.#random.pick(known).name);
  }

  /** A blob that no manifest refers to comes, and perhaps goes. */
  async #looseBlob(to: Destination): Promise<void> {
    const blob = configBlob(this.#random);
    await pushBlob(to, blob, this.#random.pick(STYLES), this.#random);
    if (this.#random.chance(0.5)) await deleteBlob(to, blob.digest);
  }
}

/** All of them to their end, then the first failure. */
async function settled(work: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(work);
  await Promise.all(work);
}
