import type { Digest } from '../oci/digest.ts';
import type { RepositoryName } from '../oci/names.ts';
import type { ReferrerRecord } from '../storage/metadata/manifests.ts';
import type { Adoption } from './adoption.ts';
import type { Context } from './context.ts';

export type Referrer = ReferrerRecord;

/** end-12: which manifests of a repository name another as their subject. */
export class Referrers {
  readonly #context: Context;
  readonly #adoption: Adoption;

  constructor(context: Context, adoption: Adoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  /**
   * In the order of their digests, behind `after`, at most `limit`. Never an error: an unknown subject has none.
   *
   * Manifests that a client listed under the fallback tag are among them: what makes a referrer is its `subject`, and
   * an adopted repository is compared whole before this answers.
   */
  async page(
    name: RepositoryName,
    subject: Digest,
    filter: { artifactType: string | undefined; after: string; limit: number },
  ): Promise<readonly Referrer[]> {
    await this.#adoption.repository(name);
    return this.#context.metadata.manifests.referrers(name, subject, filter);
  }
}
