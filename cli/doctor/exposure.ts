import { formatAddress, isLoopback } from '../../config/address.ts';
import { EXPOSED, isExposed } from '../../config/exposure.ts';
import { about, type Check } from './finding.ts';

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
  if (isAccessConfigured) return [access.ok(`${rules.length} rules say who may do what`)];
  if (isLoopback(host)) return [access.ok('only this machine reaches the server')];
  return [
    access.warning(
      `everyone who reaches ${text} may pull, push and delete: access.allowAnonymous is true`,
      'Let a firewall or a proxy with a login decide who reaches it.',
    ),
  ];
};
