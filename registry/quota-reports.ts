import type { QuotaRecords } from '../storage/metadata/quotas.ts';
import type { RepositoryUsage } from '../storage/metadata/quotas.ts';
import type { Usage } from '../storage/metadata/usage.ts';
import type { RepositoryName } from '../oci/names.ts';
import type { Context } from './context.ts';
import { prepareQuotas, type Quota, type QuotaSettings } from './quota.ts';
import { createPause, PAGE, pages, type Pause } from './space/pages.ts';

/** How full a quota is. */
export interface QuotaReport extends QuotaSettings {
  /** How many repositories it holds for. */
  readonly fitting: number;
  /** Of all of these together; a blob that several of them have counts in each. */
  readonly used: Usage;
  /** Of a quota for each repository: the fullest ones, the fullest first. */
  readonly fullest?: readonly (Usage & { readonly name: RepositoryName; readonly fill: number })[];
  /** Of the limit that is nearest to being reached: 1 is full. Of the fullest repository, where it is for each. */
  readonly fill: number;
}

const FULLEST = 10;

/** Says how full the quotas are. */
export class QuotaReports {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async report(pause: Pause = createPause()): Promise<readonly QuotaReport[]> {
    const { metadata, settings } = this.#context;
    return reportQuotas(metadata.quotas, settings.quotas, pause);
  }

  /** See `prepareQuotas`. */
  async prepare(pause: Pause): Promise<void> {
    await prepareQuotas(this.#context, pause);
  }
}

/** Goes through all repositories, whatever was summed up before: what is said is counted anew. */
export async function reportQuotas(
  records: QuotaRecords,
  quotas: readonly Quota[],
  pause: Pause,
): Promise<readonly QuotaReport[]> {
  const tallies = quotas.map((quota) => new Tally(quota));
  if (tallies.length === 0) return [];
  const repositories = pages(
    0,
    (after) => records.repositories(after, PAGE),
    ({ id }) => id,
  );
  for await (const repository of repositories) {
    for (const tally of tallies) tally.add(repository);
    await pause();
  }
  return tallies.map((tally) => tally.report());
}

type Full = Usage & { readonly name: RepositoryName; readonly fill: number };

class Tally {
  readonly #quota: Quota;
  #fitting = 0;
  #used: Usage = { bytes: 0, tags: 0 };
  #fullest: Full[] = [];

  constructor(quota: Quota) {
    this.#quota = quota;
  }

  add({ name, bytes, tags }: RepositoryUsage): void {
    if (!this.#quota.fits(name)) return;
    this.#fitting += 1;
    this.#used = { bytes: this.#used.bytes + bytes, tags: this.#used.tags + tags };
    const fill = fillOf(this.#quota, { bytes, tags });
    if (this.#fullest.length === FULLEST && fill <= (this.#fullest.at(-1)?.fill ?? 0)) return;
    this.#fullest = [...this.#fullest, { name, bytes, tags, fill }]
      .toSorted((one, other) => other.fill - one.fill)
      .slice(0, FULLEST);
  }

  report(): QuotaReport {
    const { repositories, per, bytes, tags } = this.#quota;
    const limits = { ...(bytes !== undefined && { bytes }), ...(tags !== undefined && { tags }) };
    const about = { repositories, per, ...limits, fitting: this.#fitting, used: this.#used };
    if (per === 'rule') return { ...about, fill: fillOf(this.#quota, this.#used) };
    return { ...about, fullest: this.#fullest, fill: this.#fullest[0]?.fill ?? 0 };
  }
}

function fillOf({ bytes = Infinity, tags = Infinity }: QuotaSettings, used: Usage): number {
  return Math.max(used.bytes / bytes, used.tags / tags);
}
