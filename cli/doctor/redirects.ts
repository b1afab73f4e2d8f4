import { probePublic } from '../../server/bucket.ts';
import type { PublicOutcome, PublicProbe } from '../../storage/blobs/s3/public-probe.ts';
import { about, type Check } from './finding.ts';

const redirects = about('redirects');

const SETTING = 'storage.s3.redirect.endpoint';
// Other clients are elsewhere, and may resolve its name and reach it otherwise.
const FROM_HERE = 'tried from this machine only';
const UNRESOLVED = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_NODATA', 'EAI_NONAME']);
// OpenSSL's words for what is wrong with a certificate, and Node's for the rest of TLS.
const TLS = /^ERR_(?:TLS|SSL)_|^EPROTO$|CERT|SIGNATURE|^HOSTNAME_MISMATCH$/;

/** Whether clients that are sent to the bucket get there what lies there. */
export const checkRedirects: Check = async ({ config }) => {
  const { s3 } = config.storage;
  if (s3?.redirect === undefined) return [];
  const probed = await probePublic(s3);
  // Why nothing can be stored, is said of the bucket.
  if (probed === undefined) return [];
  const { origin, outcome } = probed;
  if (outcome.kind === 'same') return [redirects.ok(`clients get blobs at ${origin}, ${FROM_HERE}`)];
  const { saw, advice } = faultOf(outcome, probed);
  return [redirects.problem(`a blob is not to be had at ${origin}, ${FROM_HERE}: ${saw}`, advice)];
};

interface Fault {
  readonly saw: string;
  readonly advice: string;
}

function faultOf(outcome: PublicOutcome, { origin }: PublicProbe): Fault {
  if (outcome.kind === 'refused') return refusalOf(outcome);
  if (outcome.kind === 'unreached') return unreachedOf(outcome, new URL(origin).hostname);
  return {
    saw: 'it answers with other bytes than were stored',
    advice: `Let ${SETTING} lead to the S3 server with this bucket; nothing on the way may change or make up answers.`,
  };
}

function refusalOf({ status, code }: Extract<PublicOutcome, { kind: 'refused' }>): Fault {
  const saw = `it answers ${status}${code === undefined ? '' : ` ${code}`}`;
  if (status === 403) {
    return {
      saw,
      advice:
        `The signature covers the name of the server: let a proxy before it pass the header Host on as it came, port ` +
        `included (in nginx: proxy_set_header Host $http_host), and change neither path nor query.`,
    };
  }
  return {
    saw,
    advice: `Let ${SETTING} lead to the S3 server with this bucket, and write storage.s3.pathStyle as it needs.`,
  };
}

function unreachedOf({ code, reason }: Extract<PublicOutcome, { kind: 'unreached' }>, host: string): Fault {
  if (UNRESOLVED.has(code)) {
    return {
      saw: `the name ${host} is not resolved (${code})`,
      advice: `Correct ${SETTING}, or let the DNS have the name.`,
    };
  }
  if (TLS.test(code)) {
    return {
      saw: `TLS fails (${reason})`,
      advice:
        `Give that server a certificate for ${host} of an authority that clients trust (this machine trusts those of Node ` +
        `and of storage.s3.authorities), or correct ${SETTING}, http:// or https:// included.`,
    };
  }
  return { saw: `it is not reached (${reason})`, advice: `Correct ${SETTING}, or open the way there.` };
}
