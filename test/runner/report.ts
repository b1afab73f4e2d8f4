import { styleText } from 'node:util';
import { tally, tallyLine, type Outcome } from './outcome.ts';

/** A line for each file, with what it ran. */
export function fileLines(outcomes: readonly Outcome[]): readonly string[] {
  const files = Map.groupBy(outcomes, ({ file }) => file);
  return [...files].map(([file, ofFile]) => {
    const counts = tally(ofFile);
    const mark = counts.failed > 0 ? styleText('red', '✖') : styleText('green', '✔');
    return `${mark} ${file}: ${tallyLine(counts)}`;
  });
}

/** Each skipped test with its reason, then each failure in full; nothing where there is neither. */
export function closingLines(outcomes: readonly Outcome[]): readonly string[] {
  const skipped = outcomes.filter(({ status }) => status === 'skipped');
  const failed = outcomes.filter(({ status }) => status === 'failed');
  return [
    ...heading('Skipped', skipped),
    ...skipped.map((outcome) => `  ${nameOf(outcome)}: ${outcome.reason === '' ? 'without a reason' : outcome.reason}`),
    ...heading('Failed', failed),
    ...failed.flatMap((outcome) => [styleText('red', `✖ ${nameOf(outcome)}`), indent(outcome.reason), '']),
  ];
}

function heading(title: string, outcomes: readonly Outcome[]): readonly string[] {
  return outcomes.length === 0 ? [] : ['', styleText('bold', title), ''];
}

function nameOf({ file, path }: Outcome): string {
  return [file, ...path].join(' > ');
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, '    ');
}
