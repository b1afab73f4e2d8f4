import type { Config } from '../../config/config.ts';
import { openFileKeys } from '../../server/auth/file-keys.ts';
import { parseJwks } from '../../server/auth/jwks.ts';
import { fetchText } from '../../server/auth/fetch-text.ts';
import { discoverJwksUrl } from '../../server/auth/remote-keys.ts';
import { about, type Finding } from './finding.ts';

const issuers = about('issuer');

// What a token's times are taken with, either way.
const TOLERATED_MS = 30_000;
const WITHIN_MS = 5_000;

interface Source {
  readonly issuer: string;
  readonly setting: string;
  readonly jwks?: string;
  readonly certificates?: string;
}

/** Whether the keys of other issuers are to be had, and whether their clocks say what ours says. */
export async function issuerFindings({ access }: Config, now: () => Date): Promise<Finding[]> {
  const trusted = access.trust.map(({ issuer, jwks }, index): Source => {
    return { issuer, setting: `access.trust[${index}].jwks`, ...(jwks !== undefined && { jwks }) };
  });
  const foreign = access.issuer === undefined ? [] : [{ ...access.issuer, setting: 'access.issuer' }];
  const different = new Map(
    [...trusted, ...foreign].map((source) => [JSON.stringify([source.issuer, source.jwks]), source]),
  );
  const findings: Finding[] = [];
  for (const source of different.values()) findings.push(...(await findingsOf(source, now)));
  if (access.issuer !== undefined) findings.push(await realmOf(access.issuer.realm));
  return findings;
}

async function findingsOf({ issuer, setting, jwks, certificates }: Source, now: () => Date): Promise<Finding[]> {
  const file = certificates ?? (jwks !== undefined && !jwks.startsWith('http') ? jwks : undefined);
  try {
    if (file !== undefined) {
      const kind = certificates === undefined ? 'jwks' : 'certificates';
      (await openFileKeys({ file, setting, kind, onFault: () => {} })).close();
      return [issuers.ok(`the keys of ${issuer} are in ${file}`)];
    }
    const url = jwks ?? (await discoverJwksUrl(issuer));
    const count = parseJwks(await fetchText(url)).length;
    return [
      issuers.ok(`${url} has ${count} ${count === 1 ? 'key' : 'keys'} of ${issuer}`),
      ...(await skewOf(url, now)),
    ];
  } catch (error) {
    const saw = `the keys of ${issuer} are not to be had: ${(error as Error).message}`;
    return [issuers.problem(saw, 'Correct the address or the file; until then its tokens are refused.')];
  }
}

/** By the `Date` of an answer. */
async function skewOf(url: string, now: () => Date): Promise<Finding[]> {
  const answer = await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(WITHIN_MS), redirect: 'error' });
  const theirs = Date.parse(answer.headers.get('date') ?? '');
  const skewMs = Math.abs(theirs - now().getTime());
  if (Number.isNaN(theirs) || skewMs <= TOLERATED_MS) return [];
  const saw = `the clock of ${new URL(url).host} is ${Math.round(skewMs / 1000)} s away from ours: its tokens are refused`;
  return [issuers.problem(saw, 'Keep the clock of this machine right with NTP (timedatectl set-ntp true).')];
}

async function realmOf(realm: string): Promise<Finding> {
  try {
    const answer = await fetch(realm, { signal: AbortSignal.timeout(WITHIN_MS), redirect: 'manual' });
    // Without credentials some of them refuse, which is an answer as well.
    if (answer.status < 500) return issuers.ok(`${realm}, where clients get tokens, is reached from here`);
    return issuers.warning(`${realm}, where clients get tokens, answers ${answer.status}`, 'Look at its log.');
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    const saw = `${realm}, where clients get tokens, is not reached from here (${reason})`;
    return issuers.warning(saw, 'Correct access.issuer.realm; names may differ from machine to machine.');
  }
}
