import { probe } from '../../server/bucket.ts';
import { about, type Check } from './finding.ts';

const bucket = about('bucket');
const clock = about('clock of the bucket');

// AWS refuses what was signed more than 15 minutes ago, or will be in 15.
const FAR_MS = 5 * 60_000;

/** Whether the bucket does what a store needs, and these credentials may ask it to. */
export const checkBucket: Check = async ({ config }) => {
  const { s3 } = config.storage;
  if (s3 === undefined) return [];
  const { capabilities, clockAheadMs } = await probe(s3);
  const where = `s3://${s3.bucket}/${s3.prefix}${s3.endpoint === undefined ? '' : ` at ${s3.endpoint}`}`;
  const failed = capabilities.filter(({ failure }) => failure !== undefined);
  if (failed.length === 0) {
    const able = capabilities.map(({ what }) => what).join(', ');
    return [bucket.ok(`${where} can ${able}`), ...clockFindings(clockAheadMs)];
  }
  return failed.map(({ what, permission, failure }) =>
    bucket.problem(
      `${where}: to ${what} failed: ${failure}`,
      `Look at storage.s3, and whether the access key has ${permission}.`,
    ),
  );
};

function clockFindings(aheadMs: number | undefined) {
  if (aheadMs === undefined || Math.abs(aheadMs) < FAR_MS) return [];
  const minutes = Math.round(Math.abs(aheadMs) / 60_000);
  const saw = `it is ${minutes} minutes ${aheadMs > 0 ? 'ahead of' : 'behind'} the one of this machine`;
  return [clock.warning(saw, 'Let both follow NTP: requests are signed with the time, and refused when it is wrong.')];
}
