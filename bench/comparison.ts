import type { Part } from './data-set.ts';
import { rowResult, type RowFailure, type RowResult } from './result.ts';
import type { Row, Sample } from './rows/row.ts';
import type { Side } from './side.ts';

const HEAVY_ROUNDS = 3;

/** The parts of the data set that the rows read. */
export function partsOf(rows: readonly Row[]): ReadonlySet<Part> {
  return new Set(rows.flatMap((row) => row.needs));
}

/** Measures the row on both sides in alternation. A failure is the row's result, and the next row goes on. */
export async function compare(row: Row, subject: Side, peer: Side, rounds: number): Promise<RowResult | RowFailure> {
  const samples: { subject: Sample[]; peer: Sample[] } = { subject: [], peer: [] };
  try {
    for (let round = 0; round < roundsOf(row, rounds); round++) {
      samples.subject.push(await row.sample(subject));
      samples.peer.push(await row.sample(peer));
    }
    return rowResult(row, samples, peer.registry.name);
  } catch (error) {
    return { id: row.id, failure: error instanceof Error ? error.message : String(error) };
  }
}

function roundsOf(row: Row, rounds: number): number {
  return row.isHeavy ? Math.min(rounds, HEAVY_ROUNDS) : rounds;
}
