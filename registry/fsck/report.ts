import { KINDS, type About, type Finding, type FindingKind } from './finding.ts';

// So many are told one by one; all are counted.
const TOLD_MAX = 1_000;

/** How much was looked at. */
export interface Looked {
  repositories: number;
  manifests: number;
  tags: number;
  layers: number;
  blobs: number;
  /** Of blobs that were hashed. */
  bytes: number;
}

export interface FsckReport extends Readonly<Looked> {
  /** Differences, repaired or not. */
  readonly differences: number;
  readonly repaired: number;
  readonly lost: number;
  readonly notes: number;
  readonly byKind: Readonly<Partial<Record<FindingKind, number>>>;
  readonly findings: readonly Finding[];
  /** Findings that are counted only. */
  readonly untold: number;
  /** Why the collection waits for an operator. */
  readonly collectionHolds: readonly string[];
  /** Why it waited before the repair, and does no more. */
  readonly releasedHolds: readonly string[];
}

/** What a check has come to so far. */
export class Report {
  readonly looked: Looked = { repositories: 0, manifests: 0, tags: 0, layers: 0, blobs: 0, bytes: 0 };
  readonly #findings: Finding[] = [];
  readonly #byKind: Partial<Record<FindingKind, number>> = {};
  #differences = 0;
  #repaired = 0;
  #lost = 0;
  #notes = 0;

  add(kind: FindingKind, about: About, isRepaired = false): void {
    const { level } = KINDS[kind];
    this.#byKind[kind] = (this.#byKind[kind] ?? 0) + 1;
    if (level === 'difference') this.#differences += 1;
    else if (level === 'lost') this.#lost += 1;
    else this.#notes += 1;
    if (isRepaired) this.#repaired += 1;
    if (this.#findings.length < TOLD_MAX) this.#findings.push({ kind, ...about, isRepaired });
  }

  get isAllRepaired(): boolean {
    return this.#repaired === this.#differences;
  }

  count(kind: FindingKind): number {
    return this.#byKind[kind] ?? 0;
  }

  progress(): Readonly<Record<string, number>> {
    return { ...this.looked, differences: this.#differences };
  }

  result(holds: Pick<FsckReport, 'collectionHolds' | 'releasedHolds'>): FsckReport {
    const told = this.#findings.length;
    return {
      ...this.looked,
      differences: this.#differences,
      repaired: this.#repaired,
      lost: this.#lost,
      notes: this.#notes,
      byKind: this.#byKind,
      findings: this.#findings,
      untold: this.#differences + this.#lost + this.#notes - told,
      ...holds,
    };
  }
}
