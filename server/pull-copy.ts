import { createHash } from 'node:crypto';
import { algorithmOf, digestOf, type Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/names.ts';
import { endOf, repositoriesIn } from '../registry/backup/snapshot-file.ts';
import type { RepositoryContent } from '../registry/backup/snapshot-lines.ts';
import { rowOfStored } from '../registry/stored-manifest.ts';
import { settleAll } from '../storage/blobs/failure.ts';

/** How far it is. */
export interface Pulled {
  readonly tags: number;
  readonly blobs: number;
  readonly bytes: number;
}

/** What pulling everything found. */
export interface PullReport extends Pulled {
  readonly repositories: number;
  readonly manifests: number;
  /** What manifests name and their repository never had: sparse images. */
  readonly neverThere: number;
  /** A line each. */
  readonly faults: readonly string[];
}

const AT_ONCE = 4;
const PAGE = 1_000;

/** Says of an image that the fault is not the copy's. */
export const NOT_WHOLE_IN_STORE = 'was not whole in the store';

/** Pulls every tag, manifest and blob of a list from a registry, as clients do, and hashes everything. */
export class CopyPull {
  readonly #url: string;
  readonly #signal: AbortSignal;
  readonly #report: (pulled: Pulled) => void;
  readonly #faults: string[] = [];
  /** Hashed already, in this repository or another. */
  readonly #whole = new Set<Digest>();
  #left: ReadonlySet<string> = new Set();
  tags = 0;
  blobs = 0;
  bytes = 0;
  #manifests = 0;
  #neverThere = 0;

  constructor(url: string, signal: AbortSignal, report: (pulled: Pulled) => void) {
    this.#url = url;
    this.#signal = signal;
    this.#report = report;
  }

  /** @param list of the snapshot that the registry serves */
  async pull(list: string): Promise<PullReport> {
    const { incomplete } = await endOf(list);
    this.#left = new Set(incomplete.map(({ repository, manifest }) => `${repository}@${manifest}`));
    for (const { repository, manifest, tags, missing } of incomplete) {
      const image = [repository, ...tags.map((tag) => `:${tag}`), `@${manifest}`].join('');
      this.#faults.push(`${image} ${NOT_WHOLE_IN_STORE}: ${missing.join(', ')}`);
    }
    const lost = new Set(incomplete.flatMap(({ missing }) => missing));
    const names = new Set<RepositoryName>();
    for await (const content of repositoriesIn(list)) {
      names.add(content.name);
      await this.#repository(content, lost);
    }
    await this.#others('/v2/_catalog', 'repositories', names, 'repository');
    const { tags, blobs, bytes } = this;
    const sums = { repositories: names.size, tags, manifests: this.#manifests, blobs, bytes };
    return { ...sums, neverThere: this.#neverThere, faults: this.#faults };
  }

  async #repository(content: RepositoryContent, lost: ReadonlySet<Digest>): Promise<void> {
    const { name, layers, manifests, tags } = content;
    if (layers.length + manifests.length === 0) return;
    const isThere = (digest: Digest) => !this.#left.has(`${name}@${digest}`);
    const has = new Set([...layers, ...manifests].map(({ digest }) => digest));
    const present = manifests.filter(({ digest }) => isThere(digest));
    await this.#each(present, (manifest) => this.#manifest(name, manifest, has));
    await this.#each(
      tags.filter(({ digest }) => isThere(digest)),
      async ({ tag, digest }) => {
        await this.#tag(name, tag, digest);
        this.tags += 1;
      },
    );
    await this.#each(
      layers.filter(({ digest }) => !lost.has(digest)),
      (layer) => this.#blob(name, layer),
    );
    const named = new Set<string>(tags.map(({ tag }) => tag));
    await this.#others(`/v2/${name}/tags/list`, 'tags', named, `tag of ${name}`);
  }

  async #manifest(
    name: RepositoryName,
    { digest, size }: { readonly digest: Digest; readonly size: number },
    has: ReadonlySet<Digest>,
  ): Promise<void> {
    const bytes = await this.#document(name, digest, digest);
    if (bytes === undefined) return;
    if (bytes.length !== size) this.#faults.push(`${name}@${digest} has ${bytes.length} bytes instead of ${size}`);
    this.#manifests += 1;
    this.#count(digest, bytes.length);
    for (const { kind, digest: needed } of rowOfStored(digest, bytes)?.references ?? []) {
      if (kind !== 'subject' && !has.has(needed)) this.#neverThere += 1;
    }
  }

  async #tag(name: RepositoryName, tag: string, digest: Digest): Promise<void> {
    await this.#document(name, tag, digest);
  }

  /** A manifest by tag or digest, whose bytes have the digest. */
  async #document(name: RepositoryName, reference: string, digest: Digest): Promise<Uint8Array | undefined> {
    const at = reference === digest ? `${name}@${digest}` : `${name}:${reference}`;
    return this.#try(at, async () => {
      const response = await this.#get(`/v2/${name}/manifests/${reference}`);
      if (response.status !== 200) return `answered ${response.status}`;
      const bytes = new Uint8Array(await response.arrayBuffer());
      const actual = hashed(digest, bytes);
      return actual === digest ? bytes : `is ${actual} instead of ${digest}`;
    });
  }

  async #blob(
    name: RepositoryName,
    { digest, size }: { readonly digest: Digest; readonly size: number },
  ): Promise<void> {
    await this.#try(`${name}, blob ${digest}`, async () => {
      if (this.#whole.has(digest)) {
        const head = await this.#get(`/v2/${name}/blobs/${digest}`, 'HEAD');
        const told = Number(head.headers.get('content-length'));
        return head.status === 200 && told === size ? new Uint8Array() : `answered ${head.status}, ${told} bytes`;
      }
      const response = await this.#get(`/v2/${name}/blobs/${digest}`);
      if (response.status !== 200) {
        await response.body?.cancel();
        return `answered ${response.status}`;
      }
      const hash = createHash(algorithmOf(digest));
      let bytes = 0;
      for await (const piece of response.body ?? []) {
        hash.update(piece);
        bytes += piece.length;
      }
      const actual = digestOf(algorithmOf(digest), hash.digest('hex'));
      if (actual !== digest) return `has the bytes of ${actual}`;
      this.#count(digest, bytes);
      return new Uint8Array();
    });
  }

  #count(digest: Digest, bytes: number): void {
    if (this.#whole.has(digest)) return;
    this.#whole.add(digest);
    this.blobs += 1;
    this.bytes += bytes;
    this.#report(this);
  }

  /** What the registry lists and the snapshot does not. */
  async #others(at: string, member: string, known: ReadonlySet<string>, what: string): Promise<void> {
    let next: string | undefined = `${at}?n=${PAGE}`;
    while (next !== undefined) {
      const from: string = next;
      next = undefined;
      await this.#try(from, async () => {
        const response = await this.#get(from);
        if (response.status !== 200) return `answered ${response.status}`;
        const listed = ((await response.json()) as Readonly<Record<string, readonly string[] | null>>)[member] ?? [];
        for (const name of listed) {
          if (!known.has(name)) this.#faults.push(`${name}, a ${what}, is in the copy and not in the snapshot`);
        }
        const [, link] = /^<([^>]+)>/.exec(response.headers.get('link') ?? '') ?? [];
        next = link === undefined ? undefined : new URL(link, this.#url).href.slice(this.#url.length);
        return new Uint8Array();
      });
    }
  }

  async #get(at: string, method = 'GET'): Promise<Response> {
    return fetch(this.#url + at, { method, headers: { accept: '*/*' }, signal: this.#signal });
  }

  /** @param ask says what is wrong, in words, or gives the bytes */
  async #try(at: string, ask: () => Promise<Uint8Array | string>): Promise<Uint8Array | undefined> {
    const fault = await ask().catch((error: unknown) => {
      this.#signal.throwIfAborted();
      const { message, cause } = error as Error;
      return `could not be pulled: ${message}${cause instanceof Error ? ` (${cause.message})` : ''}`;
    });
    if (typeof fault !== 'string') return fault;
    this.#faults.push(`${at} ${fault}`);
    return undefined;
  }

  async #each<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
    const left = items.values();
    await settleAll(
      Array.from({ length: AT_ONCE }, async () => {
        for (const item of left) await work(item);
      }),
    );
  }
}

function hashed(digest: Digest, bytes: Uint8Array): Digest {
  const algorithm = algorithmOf(digest);
  return digestOf(algorithm, createHash(algorithm).update(bytes).digest('hex'));
}
