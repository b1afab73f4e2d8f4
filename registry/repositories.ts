import type { RepositoryName } from '../oci/names.ts';
import { repositoryPartKeys } from '../storage/layout.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { changing } from './intents.ts';
import { repositoryUnknown } from './unknown.ts';

export class Repositories {
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  /** `_catalog`: names behind `after` in the order of their bytes, at most `limit`. */
  async page(after: string, limit: number): Promise<readonly RepositoryName[]> {
    await this.#adoption.enumerated();
    return limit === 0 ? [] : this.#context.metadata.repositories.page(after, limit);
  }

  /**
   * Names that contain `term`, the best matches first.
   *
   * @returns one page, and how many match in all
   */
  async search(
    term: string,
    offset: number,
    limit: number,
  ): Promise<{ readonly names: readonly RepositoryName[]; readonly total: number }> {
    await this.#adoption.enumerated();
    const { repositories } = this.#context.metadata;
    const names = limit === 0 ? [] : await repositories.search(term, offset, limit);
    return { names, total: await repositories.countMatches(term) };
  }

  async exists(name: RepositoryName): Promise<boolean> {
    await this.#adoption.repository(name);
    return (await this.#context.metadata.repositories.find(name)) !== undefined;
  }

  /**
   * Removes a repository with its tags, manifests, links and upload sessions. Repositories whose names continue its
   * name stay.
   *
   * @throws RegistryError `NAME_UNKNOWN`
   */
  async delete(name: RepositoryName): Promise<void> {
    const { driver, metadata } = this.#context;
    if (!(await this.exists(name))) throw repositoryUnknown(name);
    await changing(this.#context, { name, subjects: ['whole repository'] }, async (held) => {
      await driver.delete(repositoryPartKeys(name));
      await held.finish('durable', (tx) => metadata.repositories.remove(tx, name));
    });
  }
}
