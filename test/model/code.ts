import type { Digest } from '../../oci/digest.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { BlobDriver, Key, SmallWrite, StagedWrite } from '../../storage/blobs/driver.ts';
import { blobKey, layerLinkKey } from '../../storage/layout.ts';
import type { Queries } from '../../storage/metadata/database.ts';
import type { Metadata } from '../../storage/metadata/metadata.ts';
import type { State } from './collection.ts';

/** What can be seen of a state of the model in a real store: everything but where each process is, and what it was told. */
export interface Seen {
  readonly bytes: boolean;
  readonly row: State['row'];
  readonly repositories: readonly {
    readonly linked: boolean;
    readonly inTree: boolean;
    readonly isBeingChanged: boolean;
    readonly manifest: 'none' | 'pending' | 'committed';
  }[];
}

export function seenOf({ bytes, row, repositories }: State): Seen {
  return {
    bytes,
    row,
    repositories: repositories.map(({ linked, inTree, intent, manifest }) => ({
      linked,
      inTree,
      isBeingChanged: intent !== null,
      manifest,
    })),
  };
}

/** Looks at a store whenever the code under test has taken a step: a transaction of the index, or a change of the tree. */
export class Watcher {
  readonly #driver: BlobDriver;
  readonly #digest: Digest;
  readonly #names: readonly RepositoryName[];
  readonly #tell: (seen: Seen) => void;
  #tree: { readonly bytes: boolean; readonly links: readonly boolean[] } | undefined;
  #index: Omit<Seen, 'bytes'> | undefined;

  constructor(
    driver: BlobDriver,
    { digest, names }: { readonly digest: Digest; readonly names: readonly RepositoryName[] },
    tell: (seen: Seen) => void,
  ) {
    this.#driver = driver;
    this.#digest = digest;
    this.#names = names;
    this.#tell = tell;
  }

  /** The same index; each transaction is looked at before anybody else's begins. */
  watchedMetadata(metadata: Metadata): Metadata {
    return {
      ...metadata,
      write: (durability, work) =>
        metadata.write(durability, async (tx) => {
          const result = await work(tx);
          await this.#lookAtIndex(tx);
          return result;
        }),
    };
  }

  /** The same driver, one object after the other, as its contract has it. */
  watchedDriver(): BlobDriver {
    const driver = this.#driver;
    const writeAll = async (writes: readonly SmallWrite[], last: readonly SmallWrite[] = []) => {
      for (const write of [...writes, ...last]) await this.#after(() => driver.writeAll([write]));
    };
    const watched = (staged: StagedWrite): StagedWrite => ({
      get size() {
        return staged.size;
      },
      aim: (target) => staged.aim(target),
      append: (chunks) => staged.append(chunks),
      save: () => staged.save(),
      read: () => staged.read(),
      sync: () => staged.sync(),
      commit: async (key, links) => {
        const outcome = await this.#after(() => staged.commit(key, []));
        await writeAll(links);
        return outcome;
      },
      abort: () => staged.abort(),
      detach: () => staged.detach(),
    });
    return {
      stat: (key) => driver.stat(key),
      read: (key, range) => driver.read(key, range),
      readSmall: (key, maxBytes) => driver.readSmall(key, maxBytes),
      list: (prefix) => driver.list(prefix),
      removeAbandoned: (before) => driver.removeAbandoned(before),
      flush: () => driver.flush(),
      close: () => driver.close(),
      writeAll,
      delete: async (keys: readonly Key[]) => {
        for (const key of keys) await this.#after(() => driver.delete([key]));
      },
      setAside: (key, aside) => this.#after(() => driver.setAside(key, aside)),
      stage: async (key) => watched(await driver.stage(key)),
      resume: async (key) => {
        const staged = await driver.resume(key);
        return staged && watched(staged);
      },
    };
  }

  async #after<T>(step: () => Promise<T>): Promise<T> {
    // A driver in memory has done it when it returns the promise: nobody comes in between.
    const done = step();
    await this.#lookAtTree();
    return done;
  }

  async #lookAtTree(): Promise<void> {
    const stats = [blobKey(this.#digest), ...this.#names.map((name) => layerLinkKey(name, this.#digest))].map((key) =>
      this.#driver.stat(key),
    );
    const [bytes = false, ...links] = (await Promise.all(stats)).map((stat) => stat !== undefined);
    this.#tree = { bytes, links };
    this.#say();
  }

  async #lookAtIndex(queries: Queries): Promise<void> {
    const row = await queries.get('SELECT state FROM blob WHERE digest = ?', this.#digest);
    const repositories = [];
    for (const name of this.#names) repositories.push(await this.#lookAtRepository(queries, name));
    this.#index = { row: (row?.['state'] ?? 'none') as State['row'], repositories };
    this.#say();
  }

  async #lookAtRepository(queries: Queries, name: RepositoryName): Promise<Seen['repositories'][number]> {
    const link = await queries.get(
      `SELECT 1 FROM repository_blob rb JOIN repository r ON r.id = rb.repository_id JOIN blob b ON b.id = rb.blob_id
       WHERE r.name = ? AND b.digest = ?`,
      name,
      this.#digest,
    );
    const intent = await queries.get('SELECT 1 FROM intent WHERE key = ?', `layer:${name}@${this.#digest}`);
    const manifest = await queries.get(
      `SELECT m.state FROM manifest m JOIN repository r ON r.id = m.repository_id
       JOIN manifest_reference e ON e.manifest_id = m.id WHERE r.name = ? AND e.digest = ?`,
      name,
      this.#digest,
    );
    return {
      linked: link !== undefined,
      inTree: false,
      isBeingChanged: intent !== undefined,
      manifest: (manifest?.['state'] ?? 'none') as 'none' | 'pending' | 'committed',
    };
  }

  #say(): void {
    const links = this.#tree?.links ?? [];
    const { row, repositories } = this.#index ?? { row: 'none', repositories: [] };
    this.#tell({
      bytes: this.#tree?.bytes ?? false,
      row,
      repositories: repositories.map((each, index) => ({ ...each, inTree: links[index] ?? false })),
    });
  }
}
