import type { Config } from '../config/config.ts';
import { checkAccess } from './doctor/access.ts';
import { checkAddress } from './doctor/address.ts';
import { checkBucket } from './doctor/bucket.ts';
import { checkClientAuthorities } from './doctor/client-authorities.ts';
import { checkClock } from './doctor/clock.ts';
import { checkDatabase } from './doctor/database.ts';
import { checkDiskSpace } from './doctor/disk-space.ts';
import { checkExposure } from './doctor/exposure.ts';
import { checkFileLimit } from './doctor/file-limit.ts';
import { checkFileSystem } from './doctor/file-system.ts';
import { about, type Check, type Examination, type Finding } from './doctor/finding.ts';
import { inspectLock } from './doctor/lock.ts';
import { codeOf } from './doctor/nearest.ts';
import { checkRedirects } from './doctor/redirects.ts';
import { report } from './doctor/report.ts';
import { checkRootRights } from './doctor/root-rights.ts';
import { checkTls } from './doctor/tls.ts';

const CHECKS: readonly Check[] = [
  checkAddress,
  checkExposure,
  checkAccess,
  checkTls,
  checkClientAuthorities,
  checkFileLimit,
  checkClock,
  checkBucket,
  checkRedirects,
  checkDatabase,
];
const DISK_CHECKS: readonly Check[] = [checkRootRights, checkDiskSpace, checkFileSystem];

/** Where the report goes, and what time it is. */
export interface DoctorOptions {
  readonly write: (text: string) => void;
  readonly now?: () => Date;
}

/**
 * Looks at what goes wrong most, and says what to do about it. Changes nothing, and disturbs no running server.
 *
 * @param config read with `allowExposed`: an open server is a finding here
 * @returns the exit code: 0 when nothing keeps the server from working
 */
export async function runDoctor(config: Config, { write, now }: DoctorOptions): Promise<number> {
  const findings = await examine(config, now);
  write(report(findings));
  return findings.some(({ level }) => level === 'problem') ? 1 : 0;
}

/** Every finding, in the order in which they are best read. */
export async function examine(config: Config, now = () => new Date()): Promise<readonly Finding[]> {
  if (config.storage.driver === 'memory') return runAll(CHECKS, { config, now, isServing: false });
  const lock = await inspectLock(config.root);
  const examination = { config, now, isServing: lock.isHeld };
  return [lock.finding, ...(await runAll([...CHECKS, ...DISK_CHECKS], examination))];
}

async function runAll(checks: readonly Check[], examination: Examination): Promise<Finding[]> {
  const findings: Finding[] = [];
  // One after the other: they look at the same disk, and a probe of one must not be what another sees.
  for (const check of checks) findings.push(...(await check(examination).catch((error: unknown) => [failed(error)])));
  return findings;
}

function failed(error: unknown): Finding {
  const saw = `a check could not be made (${codeOf(error)})`;
  return about('doctor').problem(saw, 'Run it as the user that runs the server.');
}
