import type { Finding } from './finding.ts';

/** The findings as text for a person, a line each and what to do below it. */
export function report(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  return [...findings.map((finding) => lines(finding, width)), '', summary(findings), ''].join('\n');
}

const LEVEL_WIDTH = 'problem'.length;

function lines(finding: Finding, width: number): string {
  const start = `${finding.level.padEnd(LEVEL_WIDTH)}  ${finding.subject.padEnd(width)}  `;
  const advice = finding.level === 'ok' ? '' : `\n${' '.repeat(start.length)}-> ${finding.advice}`;
  return start + finding.saw + advice;
}

function summary(findings: readonly Finding[]): string {
  const [problems, warnings] = [count(findings, 'problem'), count(findings, 'warning')];
  if (problems + warnings === 0) return 'Nothing wrong was found.';
  return `${amount(problems, 'problem')}, ${amount(warnings, 'warning')}.`;
}

function count(findings: readonly Finding[], level: Finding['level']): number {
  return findings.filter((finding) => finding.level === level).length;
}

function amount(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
