import { writeFileSync } from 'node:fs';
import { describeMachine, machineLine } from './machine.ts';
import type { Options } from './options.ts';
import { writeToReadme } from './readme.ts';
import type { RowFailure, RowResult } from './result.ts';
import { formatNumber, renderTable } from './table.ts';

/** Says what a run finds: a line a row as they come, the table at the end, and JSON beside it. */
export interface Report {
  add(result: RowResult | RowFailure, seconds: number): void;
  /** Prints the table, and puts it into README.md when that was asked for. */
  finish(subject: string, peer: string): void;
  /** Whether any row failed. */
  readonly hasFailures: boolean;
}

/** To be called before anything runs: it looks how busy the machine is. */
export function createReport({ json, isForReadme, ...options }: Options): Report {
  const machine = describeMachine();
  const results: (RowResult | RowFailure)[] = [];
  print(machineLine(machine));
  return {
    add: (result, seconds) => {
      results.push(result);
      print(`${progressLine(result)} (${Math.round(seconds)} s)`);
      // After every row: an interrupted run keeps what it measured.
      if (json !== undefined) writeFileSync(json, `${JSON.stringify({ machine, options, results }, undefined, 2)}\n`);
    },
    finish: (subject, peer) => {
      const table = renderTable(results, subject, peer);
      print(`\n${table}`);
      if (isForReadme) writeToReadme(peer, `${machineLine(machine)}; ${roundsLine(options)}:\n\n${table}`);
    },
    get hasFailures() {
      return results.some((result) => 'failure' in result);
    },
  };
}

function roundsLine({ rounds, seconds }: Pick<Options, 'rounds' | 'seconds'>): string {
  return `${rounds} rounds of ${seconds} s`;
}

function progressLine(result: RowResult | RowFailure): string {
  if ('failure' in result) return `${result.id}: FAILED: ${result.failure}`;
  return `${result.id}: ${formatNumber(result.ratio)}`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
