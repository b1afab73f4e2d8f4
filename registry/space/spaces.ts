import { RegistryError } from '../../oci/errors.ts';
import type { Adoption } from '../adoption.ts';
import type { Context } from '../context.ts';
import type { Space } from './measure.ts';
import { createPause } from './pages.ts';
import type { Selected } from './selection.ts';

const RETRY_AFTER_SECONDS = '10';

/** How much space things take. */
export class Spaces {
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  /**
   * What a repository, or a tag or a manifest of it, takes.
   *
   * @param within what other repositories have says something about them: `repository` leaves them aside
   * @throws RegistryError `NAME_UNKNOWN`, `MANIFEST_UNKNOWN`; `UNAVAILABLE` while it is not known what others have
   */
  async measure(selected: Selected, within: 'registry' | 'repository'): Promise<Space> {
    await this.#adoption.repository(selected.repository);
    return this.#measure([selected], within);
  }

  /**
   * What all repositories take together that any of the patterns fits.
   *
   * @throws RegistryError `UNAVAILABLE`
   */
  async measureMatching(patterns: readonly string[]): Promise<Space & { readonly repositories: number }> {
    await this.#adoption.enumerated();
    const { matchingRepositories } = await import('./selection.ts');
    const names = await matchingRepositories(this.#context.metadata.space, patterns, createPause());
    const space = await this.#measure(
      names.map((repository) => ({ repository })),
      'registry',
    );
    return { repositories: names.length, ...space };
  }

  async #measure(selected: readonly Selected[], within: 'registry' | 'repository'): Promise<Space> {
    const { metadata, run } = this.#context;
    if (within === 'registry') {
      const isKnown = (await this.#adoption.isWholeTreeVerified()) && (await metadata.collection.isWholeTreeKnown(run));
      if (!isKnown) throw isNotKnown();
    }
    // Loaded for who asks.
    const [{ measureSpace }, { Selection }] = await Promise.all([import('./measure.ts'), import('./selection.ts')]);
    const pause = createPause();
    const selection = new Selection();
    for (const each of selected) {
      await selection.add(metadata.space, each);
      await pause();
    }
    return measureSpace(metadata.space, selection, within, pause);
  }
}

function isNotKnown(): RegistryError {
  const reason = 'the store is still being compared with the index: what others have is not known yet, ask again later';
  return new RegistryError('UNAVAILABLE', { detail: { reason }, headers: { 'Retry-After': RETRY_AFTER_SECONDS } });
}
