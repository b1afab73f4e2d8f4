import type { S3Config } from '../../config/config.ts';
import { countDeferred, probe } from '../../server/bucket.ts';
import { clockFindings } from './clock-difference.ts';
import { about, type Check, type Finding } from './finding.ts';

const bucket = about('bucket');

// S3 tells times in whole seconds.
const EXACT_MS = 1_000;
const UNCONDITIONAL =
  '; it ignores conditions on what is copied, so the last bytes of an upload are read and written again instead';

/** Whether the bucket does what a store needs, and these credentials may ask it to. */
export const checkBucket: Check = async ({ config }) => {
  const { s3 } = config.storage;
  if (s3 === undefined) return [];
  const { capabilities, clockAheadMs, isCopyConditional } = await probe(s3);
  const where = `s3://${s3.bucket}/${s3.prefix}${s3.endpoint === undefined ? '' : ` at ${s3.endpoint}`}`;
  const failed = capabilities.filter(({ failure }) => failure !== undefined);
  if (failed.length === 0) {
    const able = capabilities.map(({ what }) => what).join(', ');
    return [
      bucket.ok(`${where} can ${able}${isCopyConditional === false ? UNCONDITIONAL : ''}`),
      ...clockOf(clockAheadMs),
      ...(await deferredIn(s3)),
    ];
  }
  return failed.map(({ what, permission, failure }) =>
    bucket.problem(
      `${where}: to ${what} failed: ${failure}`,
      `Look at storage.s3, and whether the access key has ${permission}.`,
    ),
  );
};

/** A server copies them within a minute or so: what is left is of one that ended before. */
async function deferredIn(s3: S3Config): Promise<readonly Finding[]> {
  const count = await countDeferred(s3);
  if (count === 0) return [];
  return [
    bucket.warning(
      `${count} large ${count === 1 ? 'blob waits' : 'blobs wait'} to be copied to their place: this registry serves them, no other program finds them there yet`,
      'A server that runs does it by itself, within minutes. Before you give the bucket to another program, or copy it without .meta/, start one, and ask again.',
    ),
  ];
}

function clockOf(aheadMs: number | undefined): readonly Finding[] {
  return aheadMs === undefined ? [] : clockFindings('the bucket', aheadMs, EXACT_MS);
}
