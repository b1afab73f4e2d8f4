import { formatNumber } from '../table.ts';

/** Something that was measured, and what was promised of it. */
export interface Figure {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** In the unit; undefined where nothing was promised. */
  readonly bar?: { readonly most: number } | { readonly least: number };
  /** What belongs to it: all values of a median, a rate. */
  readonly note?: string;
}

/** A row that came to no figure. */
export interface FigureFailure {
  readonly what: string;
  readonly failure: string;
}

export function isMet({ value, bar }: Figure): boolean | undefined {
  if (bar === undefined) return undefined;
  return 'most' in bar ? value <= bar.most : value >= bar.least;
}

/** The figures as a Markdown table. */
export function renderFigures(figures: readonly (Figure | FigureFailure)[]): string {
  const rows = figures.map((figure) => ('failure' in figure ? failed(figure) : cells(figure)));
  return ['| what | measured | promised | |', '|---|---|---|---|', ...rows].join('\n');
}

function cells(figure: Figure): string {
  const { what, value, unit, note } = figure;
  return `| ${what} | ${formatNumber(value)} ${unit} | ${promised(figure)} | ${note ?? ''} |`;
}

function promised(figure: Figure): string {
  const { bar, unit } = figure;
  if (bar === undefined) return '';
  const wanted =
    'most' in bar ? `at most ${formatNumber(bar.most)} ${unit}` : `at least ${formatNumber(bar.least)} ${unit}`;
  return `${wanted} ${isMet(figure) === true ? 'met' : 'MISSED'}`.replaceAll('  ', ' ');
}

function failed({ what, failure }: FigureFailure): string {
  return `| ${what} | FAILED | | ${failure.split('\n')[0] ?? ''} |`;
}
