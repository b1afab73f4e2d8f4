import type { Config } from '../config/config.ts';
import { readConfig, type ConfigInput } from '../config/load.ts';
import { KINDS, type Finding, type FindingKind } from '../registry/fsck/finding.ts';
import type { FsckReport } from '../registry/fsck/report.ts';
import { scrubStatusOf, type ScrubPass, type ScrubStatus } from '../registry/scrub.ts';
import { minuteOf } from './columns.ts';
import { createProgress } from './progress.ts';
import { runTaskOf } from './task.ts';
import { print, refuseMore, UsageError, type Values } from './usage.ts';
import { withIndex } from './with-index.ts';

/**
 * `entrepot fsck`, and `entrepot fsck status`.
 *
 * @returns 1 when something is left that is not as it should be
 */
export async function fsckCommand(input: ConfigInput, rest: readonly string[], values: Values): Promise<number> {
  const { repair = false, quick = false, json = false } = values;
  if (rest[0] === 'status') {
    refuseMore('fsck status', rest.slice(1));
    if (repair || quick) throw new UsageError('fsck status takes only --json.');
    return print(await describeScrub(await readConfig(input, { allowExposed: true }), json));
  }
  refuseMore('fsck', rest);
  const config = await readConfig(input, { allowExposed: true });
  const outcome = await runTaskOf(config, 'fsck', { repair, quick }, createProgress('checking'));
  // What the task says of its work is what it came to.
  const report = outcome as Readonly<Record<string, unknown>> & FsckReport;
  print(json ? JSON.stringify(report) : describe(report, { isRepairing: repair, isQuick: quick }));
  return isWhole(report) ? 0 : 1;
}

function isWhole({ differences, repaired, lost }: FsckReport): boolean {
  return differences === repaired && lost === 0;
}

function describe(report: FsckReport, { isRepairing, isQuick }: { isRepairing: boolean; isQuick: boolean }): string {
  const kinds = Object.keys(KINDS) as FindingKind[];
  const found = kinds.filter((kind) => (report.byKind[kind] ?? 0) > 0);
  const sections = found.map((kind) => sectionOf(report, kind, isRepairing));
  return [...sections, summaryOf(report, isQuick)].join('\n\n');
}

function sectionOf({ byKind, findings }: FsckReport, kind: FindingKind, isRepairing: boolean): string {
  const { level, what, users, repair } = KINDS[kind];
  const here = findings.filter((finding) => finding.kind === kind);
  const left = here.filter(({ isRepaired }) => !isRepaired).length;
  const more = (byKind[kind] ?? 0) - here.length;
  return [
    `${kind} (${byKind[kind] ?? 0}, ${level}): ${what}`,
    ...here.map((finding) => `  ${lineOf(finding)}`),
    ...(more > 0 ? [`  and ${more} more`] : []),
    `  users: ${users}`,
    `  ${isRepairing && left === 0 && level === 'difference' ? 'done' : 'repair'}: ${repair}`,
  ].join('\n');
}

function lineOf({ repository, digest, tag, path, detail, isRepaired }: Finding): string {
  const image = repository === undefined ? digest : `${repository}${suffixOf(tag, digest)}`;
  const words = [image, path, detail].filter((word) => word !== undefined && word !== '');
  return `${words.join(': ')}${isRepaired ? ' (repaired)' : ''}`;
}

function suffixOf(tag: string | undefined, digest: string | undefined): string {
  if (tag !== undefined) return `:${tag}`;
  return digest === undefined ? '' : `@${digest}`;
}

function summaryOf(report: FsckReport, isQuick: boolean): string {
  const { repositories, manifests, tags, layers, blobs, bytes, differences, repaired, lost, notes } = report;
  const read = isQuick ? 'blobs by their sizes only' : `${bytes} bytes read and hashed`;
  const looked = `${repositories} repositories, ${tags} tags, ${manifests} manifests, ${layers} links and ${blobs} blobs; ${read}`;
  return [
    looked,
    isWhole(report) && differences === 0 ? 'everything is whole' : `${differences} differences, ${repaired} repaired`,
    ...(lost === 0 ? [] : [`${lost} lost: nobody gets wrong bytes; push them again, or delete what needs them`]),
    ...(notes === 0 ? [] : [`${notes} notes`]),
    ...report.releasedHolds.map((reason) => `garbage is not kept any more because ${reason}`),
    ...report.collectionHolds.map(
      (reason) => `no garbage is collected: ${reason}; look at it, then: entrepot gc release`,
    ),
  ].join('\n');
}

/** What the server has read again by itself. */
async function describeScrub({ integrity, ...config }: Config, json: boolean): Promise<string> {
  const { scrubEveryMs, scrubBytesPerSecond } = integrity;
  const status = await withIndex({ integrity, ...config }, (metadata) =>
    scrubStatusOf(metadata, { scrubEveryMs, scrubBytesPerSecond }, Date.now()),
  );
  return json ? JSON.stringify(status) : inWords(status);
}

function inWords({ everyMs, bytesPerSecond, due, quarantined, pass, lastPass, wholeAt }: ScrubStatus): string {
  return [
    everyMs === undefined
      ? 'blobs are not read again: integrity.scrubEvery is never'
      : `every blob is read again within ${everyMs / 86_400_000} days, at ${bytesPerSecond} bytes a second at most`,
    lastPass === undefined
      ? 'no pass has come to its end yet'
      : `last full pass: ${timeOf(lastPass.startedAt)} to ${timeOf(lastPass.endedAt)}: ${countsOf(lastPass)}`,
    ...(pass === undefined ? [] : [`under way since ${timeOf(pass.startedAt)}: ${countsOf(pass)}`]),
    ...(wholeAt === undefined ? [] : [`everything was hashed in time at ${timeOf(wholeAt)}`]),
    `${due} blobs are to be read, ${quarantined} are damaged and wait for a push`,
  ].join('\n');
}

function timeOf(time: string): string {
  return `${minuteOf(Date.parse(time))} UTC`;
}

function countsOf({ blobs, bytes, damaged, unreadable }: ScrubPass): string {
  return `${blobs} blobs, ${bytes} bytes, ${damaged} damaged, ${unreadable} unreadable`;
}
