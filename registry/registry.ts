import { Adoption } from './adoption.ts';
import { Blobs } from './blobs.ts';
import { Collection } from './collection.ts';
import type { Context } from './context.ts';
import { DeferredCopies } from './deferred-copies.ts';
import { Integrity } from './integrity.ts';
import type { LastKnown } from './last-known.ts';
import { Maintenance } from './maintenance.ts';
import { Manifests } from './manifests.ts';
import { Pulls } from './pulls.ts';
import { Recovery } from './recovery.ts';
import { QuotaReports } from './quota-reports.ts';
import { Referrers } from './referrers.ts';
import { Repositories } from './repositories.ts';
import { Retention } from './retention/retention.ts';
import { Spaces } from './space/spaces.ts';
import { Tags } from './tags.ts';
import { Undo } from './undo.ts';
import { Uploads } from './uploads.ts';
import { VerifiedReads } from './verified-reads.ts';

// Beyond that they are better left for the next start than to whoever stops the server by force.
const COPIES_AWAITED_MS = 10_000;

/** What a registry means, without HTTP: one noun each. */
export interface Registry {
  readonly blobs: Blobs;
  readonly manifests: Manifests;
  readonly tags: Tags;
  readonly uploads: Uploads;
  readonly deferredCopies: DeferredCopies;
  readonly referrers: Referrers;
  readonly repositories: Repositories;
  readonly maintenance: Maintenance;
  readonly collection: Collection;
  readonly spaces: Spaces;
  readonly quotas: QuotaReports;
  readonly integrity: Integrity;
  readonly recovery: Recovery;
  readonly pulls: Pulls;
  readonly retention: Retention;
  readonly undo: Undo;
  /** What pulls are served from while the index cannot be asked. */
  readonly lastKnown: Pick<LastKnown, 'isEmpty'>;
  /** Lets go of open upload sessions, then of the index and the store; `last` is awaited when only these two are open. */
  close(last?: () => Promise<void>): Promise<void>;
}

/** Puts the nouns together over one store. The store must belong to `context.run`: see `openStore`. */
export function createRegistry(context: Context): Registry {
  const adoption = new Adoption(context);
  const deferredCopies = new DeferredCopies(context);
  const uploads = new Uploads(context, adoption, deferredCopies);
  const [manifests, tags] = [new Manifests(context, adoption), new Tags(context, adoption)];
  const pulls = new Pulls(context);
  const maintenance = new Maintenance(context, adoption);
  const reads = new VerifiedReads(context);
  const blobs = new Blobs(context, adoption, reads);
  return {
    blobs,
    manifests,
    tags,
    pulls,
    retention: new Retention(context, { adoption, tags, manifests }),
    uploads,
    deferredCopies,
    referrers: new Referrers(context, adoption),
    repositories: new Repositories(context, adoption),
    maintenance,
    collection: new Collection(context, adoption),
    spaces: new Spaces(context, adoption),
    quotas: new QuotaReports(context),
    integrity: new Integrity({ context, adoption, maintenance }, reads),
    recovery: new Recovery(context, blobs),
    undo: new Undo(context, adoption),
    lastKnown: context.lastKnown,
    close: async (last) => {
      await uploads.close();
      await deferredCopies.close(COPIES_AWAITED_MS);
      await pulls.flush();
      await reads.settle();
      await last?.();
      await context.metadata.close();
      await context.driver.close();
    },
  };
}
