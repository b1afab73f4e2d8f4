import { formatAddress, isLoopback } from '../../config/address.ts';
import { EXPOSED, isExposed } from '../../config/exposure.ts';
import type { Config } from '../../config/config.ts';
import { about, type Check, type Finding } from './finding.ts';

const access = about('access');

/** Who could use the server without being asked who they are. */
export const checkExposure: Check = async ({ config }) => {
  const { host } = config.address;
  const { allowAnonymous, rules, issuer } = config.access;
  const isAccessConfigured = !config.access.isOpen;
  const text = formatAddress(config.address);
  if (isExposed({ host, allowAnonymous, isAccessConfigured }))
    return [access.problem(`${text}: ${EXPOSED.wrong}`, EXPOSED.instead)];
  if (issuer !== undefined) return [access.ok(`${issuer.realm} says who may do what`)];
  if (isAccessConfigured) {
    const count = `${rules.length} ${rules.length === 1 ? 'rule says' : 'rules say'} who may do what`;
    return [access.ok(count), ...inTheClear(config)];
  }
  if (isLoopback(host)) return [access.ok('only this machine reaches the server')];
  return [
    access.warning(
      `everyone who reaches ${text} may pull, push and delete: access.allowAnonymous is true`,
      'Let a firewall or a proxy with a login decide who reaches it.',
    ),
  ];
};

/** Other machines send passwords and tokens, and nothing keeps them from whoever listens. */
function inTheClear({ address, http }: Config): Finding[] {
  if (isLoopback(address.host) || http.tls !== undefined || http.trustedProxies.length > 0) return [];
  const saw = `passwords and tokens reach ${formatAddress(address)} without TLS`;
  return [access.warning(saw, 'Set http.tls; or behind a proxy that speaks TLS, http.trustedProxies and http.host.')];
}
