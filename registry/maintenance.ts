import { uploadKey } from '../storage/layout.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { giveUpUnsettled } from './intents.ts';

const BATCH = 100;

/** What has to happen without a request: run by one process of a server. */
export class Maintenance {
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  /** Compares the whole tree with the index, once a run. `pause` is awaited between repositories. */
  async verifyTree(pause: () => Promise<void>): Promise<{ repositories: number }> {
    return this.#adoption.wholeTree(pause);
  }

  /** Compares the repositories that a failed change or a dead process put in doubt. */
  async verifyDoubted(): Promise<number> {
    const { metadata, run } = this.#context;
    let compared = 0;
    for (let after = ''; ;) {
      const names = await metadata.repositories.unverified(run, after, BATCH);
      for (const name of names) await this.#adoption.repository(name);
      compared += names.length;
      const last = names.at(-1);
      if (last === undefined) return compared;
      after = last;
    }
  }

  /** Tries again to give up failed changes whose intents are still held by this process. */
  async giveUpUnsettled(): Promise<void> {
    await giveUpUnsettled(this.#context);
  }

  /** Gives up what a process left behind that ended without saying goodbye. */
  async abandonProcess(owner: string): Promise<number> {
    await this.#context.driver.flush();
    return this.#context.metadata.intents.abandonEnded({ owner }, this.#context.now());
  }

  /** Removes upload sessions that made no progress for `uploadExpiryMs`. */
  async expireUploads(): Promise<number> {
    const { metadata, now, settings, owner } = this.#context;
    let expired = 0;
    for (;;) {
      const stale = await metadata.uploads.stale(now() - settings.uploadExpiryMs, BATCH);
      if (stale.length === 0) return expired;
      for (const session of stale) {
        const { taken } = await metadata.uploads.hold(session.repository, session.id, owner);
        if (!taken) continue;
        await this.#removeStage(session.repository, session.id);
        await metadata.uploads.remove(session.id);
        expired += 1;
      }
    }
  }

  /** Removes staged bytes that no session knows: of a crash, of a deleted index, of another server. */
  async expireOrphanedStages(): Promise<number> {
    const { driver, metadata, now, settings } = this.#context;
    let expired = 0;
    for await (const { name, id } of this.#adoption.tree.uploads()) {
      if ((await metadata.uploads.find(id)) !== undefined) continue;
      const modifiedAt = await this.#adoption.tree.uploadModifiedAt(name, id);
      if (modifiedAt !== undefined && modifiedAt.getTime() > now() - settings.uploadExpiryMs) continue;
      if (modifiedAt === undefined) await driver.delete([uploadKey(name, id)]);
      else await this.#removeStage(name, id);
      expired += 1;
    }
    return expired;
  }

  async #removeStage(name: Parameters<typeof uploadKey>[0], id: Parameters<typeof uploadKey>[1]): Promise<void> {
    const staged = await this.#context.driver.resume(uploadKey(name, id));
    await staged?.abort();
  }
}
