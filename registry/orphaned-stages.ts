import type { RepositoryName, UploadId } from '../oci/names.ts';
import { uploadKey } from '../storage/layout.ts';
import type { Context } from './context.ts';
import type { Tree } from './tree.ts';

/** Where staged bytes lie. */
export interface Stage {
  readonly name: RepositoryName;
  readonly id: UploadId;
}

/** The staged bytes that no session knows: of a crash, of a deleted index, of another server. */
export class OrphanedStages {
  readonly #context: Context;
  readonly #tree: Tree;
  /** Stages without a file that could tell their age, and when they were first seen (ms since 1970). */
  #bareSince = new Map<UploadId, number>();

  constructor(context: Context, tree: Tree) {
    this.#context = context;
    this.#tree = tree;
  }

  /** Removes those without progress for `uploadExpiryMs`; a younger one may belong to a request that runs now. */
  async expire(): Promise<number> {
    let expired = 0;
    for await (const stage of this.due()) {
      await this.#remove(stage);
      expired += 1;
    }
    return expired;
  }

  /** What `expire` removes. */
  async *due(): AsyncGenerator<Stage> {
    const { metadata, now, settings } = this.#context;
    const bare = new Map<UploadId, number>();
    for await (const stage of this.#tree.uploads()) {
      if ((await metadata.uploads.find(stage.id)) !== undefined) continue;
      const modifiedAt = await this.#tree.uploadModifiedAt(stage.name, stage.id);
      const since = modifiedAt?.getTime() ?? this.#bareSince.get(stage.id) ?? now();
      if (since > now() - settings.uploadExpiryMs) {
        if (modifiedAt === undefined) bare.set(stage.id, since);
        continue;
      }
      yield stage;
    }
    // Only what was seen again: the rest has become a blob, or is gone.
    this.#bareSince = bare;
  }

  async #remove({ name, id }: Stage): Promise<void> {
    const { driver } = this.#context;
    const staged = await driver.resume(uploadKey(name, id));
    if (staged === undefined) await driver.delete([uploadKey(name, id)]);
    else await staged.abort();
  }
}
