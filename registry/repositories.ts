import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RepositoryName } from '../oci/names.ts';
import { repositoryPartKeys } from '../storage/layout.ts';
import { IndexError } from '../storage/metadata/index-error.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';
import { changing } from './intents.ts';
import { KNOWN_FOR_MS } from './last-known.ts';
import type { Rights } from './rights.ts';
import { repositoryUnknown } from './unknown.ts';

const LOOKED_AT_ONCE = 1_000;
// Who may not see everything is told about the best of what matches.
const SEARCHED_MAX = 10_000;

const GENERATION_KNOWN_MS = 100;
// Some 200 bytes each.
const GENERATIONS_KNOWN_MAX = 20_000;

/** One of the repositories that had a name, one after the other. */
export interface Generation {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
}

/** What was known a moment ago. */
export interface KnownGeneration {
  /** Undefined: there was no repository of that name. */
  readonly generation: Generation | undefined;
}

export class Repositories {
  readonly #generations = new Map<RepositoryName, KnownGeneration & { readonly readAt: number }>();
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  /** `_catalog`: names behind `after` that may be pulled, in the order of their bytes, at most `limit`. */
  async page(after: string, limit: number, rights: Rights): Promise<readonly RepositoryName[]> {
    await this.#adoption.enumerated();
    const { repositories } = this.#context.metadata;
    if (rights.seesAll) return limit === 0 ? [] : repositories.page(after, limit);
    const visible: RepositoryName[] = [];
    let last = after;
    while (visible.length < limit) {
      const names = await repositories.page(last, LOOKED_AT_ONCE);
      visible.push(...names.filter((name) => rights.sees(name)));
      last = names.at(-1) ?? '';
      if (names.length < LOOKED_AT_ONCE) break;
      await nextTurn();
    }
    return visible.slice(0, limit);
  }

  /**
   * Names that contain `term` and may be pulled, the best matches first.
   *
   * @returns one page, and how many match in all
   */
  async search(
    term: string,
    offset: number,
    limit: number,
    rights: Rights,
  ): Promise<{ readonly names: readonly RepositoryName[]; readonly total: number }> {
    await this.#adoption.enumerated();
    const { repositories } = this.#context.metadata;
    if (!rights.seesAll) {
      const matches = await repositories.search(term, 0, SEARCHED_MAX);
      const visible = matches.filter((name) => rights.sees(name));
      return { names: visible.slice(offset, offset + limit), total: visible.length };
    }
    const names = limit === 0 ? [] : await repositories.search(term, offset, limit);
    return { names, total: await repositories.countMatches(term) };
  }

  /**
   * Which repository had the name a moment ago: one that is deleted and made anew is another. Undefined where that is not
   * known. What another process has just changed is seen a tenth of a second later: each request that shows a token asks.
   */
  peekGeneration(name: RepositoryName): KnownGeneration | undefined {
    const known = this.#generations.get(name);
    return known !== undefined && performance.now() - known.readAt < GENERATION_KNOWN_MS ? known : undefined;
  }

  /** As the index has it now, or as it had it last where it cannot be asked; undefined where there is none. */
  async readGeneration(name: RepositoryName): Promise<Generation | undefined> {
    const readAt = performance.now();
    let found: Generation | undefined;
    try {
      found = await this.#context.metadata.repositories.find(name);
    } catch (error) {
      return this.#lastGeneration(name, error);
    }
    const generation = found && { id: found.id, createdAt: found.createdAt };
    // The one that was not asked for the longest is the first.
    this.#generations.delete(name);
    this.#generations.set(name, { generation, readAt });
    const [oldest] = this.#generations.keys();
    if (this.#generations.size > GENERATIONS_KNOWN_MAX && oldest !== undefined) this.#generations.delete(oldest);
    return generation;
  }

  #lastGeneration(name: RepositoryName, error: unknown): Generation | undefined {
    const known = this.#generations.get(name);
    const isRecent = known !== undefined && performance.now() - known.readAt <= KNOWN_FOR_MS;
    if (!(error instanceof IndexError) || !isRecent) throw error;
    return known.generation;
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
    const { driver, metadata, now, settings } = this.#context;
    if (!(await this.exists(name))) throw repositoryUnknown(name);
    await changing(this.#context, { name, subjects: ['whole repository'] }, async (held) => {
      await driver.delete(repositoryPartKeys(name));
      const isKept = settings.undoMs > 0;
      await held.finish('durable', (tx) => metadata.repositories.remove(tx, name, { now: now(), isKept }));
    });
    this.#generations.delete(name);
  }
}
