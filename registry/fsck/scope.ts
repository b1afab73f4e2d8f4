import type { Adoption } from '../adoption.ts';
import type { Context } from '../context.ts';
import type { Report } from './report.ts';

export interface FsckOptions {
  /** Puts right what can be put right. */
  readonly isRepairing: boolean;
  /** Looks at the sizes of blobs and does not read them. Manifests are read all the same. */
  readonly isQuick: boolean;
  /** Awaited often; what it throws ends the check. */
  readonly pause: () => Promise<void>;
}

/** What every part of a check works with. */
export interface Scope extends FsckOptions {
  readonly context: Context;
  readonly adoption: Adoption;
  readonly report: Report;
}
