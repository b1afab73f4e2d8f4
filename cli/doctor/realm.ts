import type { Config } from '../../config/config.ts';
import { about, type Finding } from './finding.ts';

const realm = about('realm');

const REACHED_WITHIN_MS = 5_000;

/** The address that clients are sent to for a token. */
export async function realmFindings({ http, access }: Config, isServing: boolean): Promise<Finding[]> {
  if (access.challenge === 'basic' || access.issuer !== undefined) return [];
  if (http.host === undefined) {
    if (http.trustedProxies.length === 0) return [];
    const saw =
      'clients are sent for tokens to the address that the proxy passes on, which may be another than its own';
    return [realm.warning(saw, 'Set http.host to the address of the proxy, with https:// where it speaks TLS.')];
  }
  const plain = plainBehindProxy(http.host, http.trustedProxies.length > 0);
  return [
    ...plain,
    isServing ? await reached(http.host) : realm.ok(`clients are sent to ${http.host}/token for tokens`),
  ];
}

/** Docker refuses to send a password there, or sends it for everyone to read. */
function plainBehindProxy(host: string, isBehindProxy: boolean): Finding[] {
  if (!isBehindProxy || !host.startsWith('http://')) return [];
  const saw = `clients are sent to ${host}/token, without TLS, although a proxy stands before this server`;
  return [realm.warning(saw, 'Where the proxy speaks TLS, set http.host to its https:// address.')];
}

async function reached(host: string): Promise<Finding> {
  try {
    const answer = await fetch(`${host}/v2/`, { signal: AbortSignal.timeout(REACHED_WITHIN_MS), redirect: 'manual' });
    const challenge = answer.headers.get('www-authenticate') ?? '';
    if (challenge.includes(`realm="${host}/token"`)) return realm.ok(`${host}/token is reached from here`);
    const location = answer.headers.get('location') ?? '';
    if (host.startsWith('http://') && location.startsWith('https://')) {
      const secure = new URL(location).origin;
      const saw = `${host} leads to ${secure}: clients are sent to a realm without TLS`;
      return realm.problem(saw, `Set http.host to ${secure}.`);
    }
    const saw = `${host}/v2/ answers ${answer.status}, and not as this registry does`;
    return realm.problem(saw, 'Set http.host to where clients reach this server, and look where its proxy leads.');
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    const saw = `clients are sent to ${host}/token, which is not reached from here (${reason})`;
    const advice = /certificate/i.test(reason)
      ? 'Let this command trust it: NODE_EXTRA_CA_CERTS=FILE entrepot doctor. Clients have to trust it as well.'
      : 'Set http.host to where clients reach this server; names may differ from machine to machine.';
    return realm.warning(saw, advice);
  }
}
