import type { RowFailure, RowResult, SideResult } from './result.ts';
import type { Target } from './targets.ts';

const MIB = 1024 * 1024;

/** The table as Markdown: what the terminal shows and what README.md holds. */
export function renderTable(results: readonly (RowResult | RowFailure)[], subject: string, peer: string): string {
  const head = [
    'row',
    'ratio',
    'target',
    'unit',
    subject,
    peer,
    'CPU µs/request',
    '(peer)',
    'memory MiB',
    '(peer)',
    'HWM MiB',
    '(peer)',
  ];
  return align([head, ...results.map(cells)]);
}

function cells(result: RowResult | RowFailure): string[] {
  if ('failure' in result) return [result.id, 'FAILED', '', result.failure.split('\n')[0] ?? ''];
  const { subject, peer } = result;
  return [
    result.id,
    formatNumber(result.ratio),
    formatTarget(result.target, result.isMet, result.unit),
    result.unit,
    formatNumber(subject.value),
    formatNumber(peer.value),
    ...both(subject, peer, (side) => side.cpuMicrosecondsPerRequest),
    ...both(subject, peer, (side) => inMebibytes(side.peakBytes)),
    ...both(subject, peer, (side) => inMebibytes(side.peakResidentBytes)),
  ];
}

function both(subject: SideResult, peer: SideResult, of: (side: SideResult) => number | undefined): string[] {
  return [subject, peer].map((side) => formatNumber(of(side)));
}

function inMebibytes(bytes: number | undefined): number | undefined {
  return bytes === undefined ? undefined : Math.round(bytes / MIB);
}

function formatTarget(target: Target | undefined, isMet: boolean | undefined, unit: string): string {
  if (target === undefined) return '';
  const wanted = target.ratio === undefined ? `at most ${target.most} ${unit}` : String(target.ratio);
  return `${wanted} ${isMet === true ? 'met' : 'MISSED'}`;
}

/** Three significant digits below a thousand, whole numbers with separators from there on; `-` for nothing. */
export function formatNumber(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '-';
  if (Math.abs(value) < 1000) return String(Number(value.toPrecision(3)));
  return Math.round(value).toLocaleString('en-US');
}

/** A Markdown table whose columns are as wide as their widest cell. */
function align(rows: readonly (readonly string[])[]): string {
  const columns = rows[0]?.length ?? 0;
  const widths = Array.from({ length: columns }, (_, column) => Math.max(...rows.map((row) => widthAt(row, column))));
  const line = (row: readonly string[]) =>
    `| ${widths.map((width, at) => (row[at] ?? '').padEnd(width)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [line(rows[0] ?? []), rule, ...rows.slice(1).map(line)].join('\n');
}

/** The reason of a failure may run over: it does not widen its column. */
function widthAt(row: readonly string[], column: number): number {
  return row[1] === 'FAILED' && column === 3 ? 0 : (row[column] ?? '').length;
}
