import { parseAddress } from './address.ts';
import type { ListenAddress } from './config.ts';
import {
  authoritiesWithoutEncryption,
  databaseWithoutBucket,
  databaseWithoutDriver,
  driverWithoutDatabase,
  urlAndParts,
} from './contradictions-index.ts';
import {
  bucketWithoutDriver,
  driverWithoutBucket,
  halfCredentials,
  keyWithoutEncryption,
  redirectWithoutBucket,
  redirectWithoutCheck,
} from './contradictions-storage.ts';
import { closingKeys } from './derive-access.ts';
import { EXPOSED, isExposed } from './exposure.ts';
import { shown, type ConfigFault } from './fault.ts';
import type { Settings } from './schema.ts';

/** Keys that are fine by themselves and not together. */
export interface Contradiction {
  readonly keys: readonly string[];
  readonly fault: ConfigFault;
}

/** How strictly to look. */
export interface ReadOptions {
  /** Lets a configuration pass that would open the server to everyone: for a command that reports it, never to serve. */
  readonly allowExposed?: boolean;
}

export type Broken = Pick<Contradiction, 'keys'> & Pick<ConfigFault, 'wrong' | 'instead'>;
type Rule = (settings: Settings) => Broken | undefined;

const ACCESS: readonly Rule[] = [unknownGroup, limitedAdmin, unknownTrust, sameTrust, trustWithoutRules, halfIssuer];
const STORAGE: readonly Rule[] = [
  bucketWithoutDriver,
  driverWithoutBucket,
  halfCredentials,
  keyWithoutEncryption,
  redirectWithoutBucket,
  redirectWithoutCheck,
];
const INDEX: readonly Rule[] = [
  databaseWithoutDriver,
  driverWithoutDatabase,
  urlAndParts,
  authoritiesWithoutEncryption,
  databaseWithoutBucket,
];
const RULES: readonly Rule[] = [
  halfTls,
  authoritiesWithoutTls,
  workersWithoutStorage,
  sameAddress,
  openAndClosed,
  ...STORAGE,
  ...INDEX,
  ...ACCESS,
];

/** Every rule between keys that `settings` break; each fault is told at the first of its keys. */
export function contradictions(
  settings: Settings,
  originOf: (key: string) => string | undefined,
  { allowExposed = false }: ReadOptions,
): Contradiction[] {
  return [...RULES, ...(allowExposed ? [] : [exposed])].flatMap((rule) => {
    const broken = rule(settings);
    if (broken === undefined) return [];
    const { keys, wrong, instead } = broken;
    const [path = ''] = keys;
    return [{ keys, fault: { path, origin: originOf(path), wrong, instead } }];
  });
}

function halfTls({ http: { tls } }: Settings): Broken | undefined {
  if ((tls.certificate === undefined) === (tls.key === undefined)) return undefined;
  const [set, missing] = tls.key === undefined ? ['certificate', 'key'] : ['key', 'certificate'];
  return {
    keys: [`http.tls.${set}`, `http.tls.${missing}`],
    wrong: `http.tls.${missing} is missing beside it`,
    instead: `Set http.tls.${missing} as well for TLS, or neither for plain HTTP.`,
  };
}

function authoritiesWithoutTls({ http: { tls } }: Settings): Broken | undefined {
  if (tls.clientAuthorities === undefined || tls.certificate !== undefined || tls.key !== undefined) return undefined;
  return {
    keys: ['http.tls.clientAuthorities', 'http.tls.certificate', 'http.tls.key'],
    wrong: 'clients show certificates over TLS only, and http.tls.certificate and http.tls.key are missing',
    instead: 'Set them as well; a proxy that speaks TLS for this server keeps the certificates of clients to itself.',
  };
}

function workersWithoutStorage({ workers, storage }: Settings): Broken | undefined {
  if (storage.driver !== 'memory' || workers === 'auto' || workers === 1) return undefined;
  return {
    keys: ['workers', 'storage.driver'],
    wrong: `with storage.driver: memory ${workers} workers would each hold a registry of their own`,
    instead: 'Write 1 or auto, or storage.driver: filesystem.',
  };
}

function sameAddress({ address, metrics }: Settings): Broken | undefined {
  const [own, other] = [parseAddress(metrics.address ?? ''), parseAddress(address)];
  if (own === undefined || other === undefined || !overlaps(own, other)) return undefined;
  return {
    keys: ['metrics.address', 'address'],
    wrong: `${shown(address)} is where the registry itself listens`,
    instead: 'Give the metrics another port; or leave the key out, and a loopback address serves them too.',
  };
}

/** Whether one socket would be in the other's way. */
function overlaps(one: ListenAddress, other: ListenAddress): boolean {
  if (one.port === 0 || one.port !== other.port) return false;
  const hosts = [one, other].map(({ host }) => host.toLowerCase());
  return hosts[0] === hosts[1] || hosts.some((host) => host === '0.0.0.0' || host === '::');
}

function openAndClosed(settings: Settings): Broken | undefined {
  const [other] = closingKeys(settings);
  if (!settings.access.allowAnonymous || other === undefined) return undefined;
  return {
    keys: ['access.allowAnonymous', other],
    wrong: `it opens everything to everyone, and ${other} does not`,
    instead: 'Remove it; a rule such as {who: anonymous, actions: pull} lets everyone pull.',
  };
}

function unknownGroup({ access: { rules = [], groups } }: Settings): Broken | undefined {
  const isUnknown = (who: string) => who.startsWith('group:') && !Object.hasOwn(groups, who.slice('group:'.length));
  const unknown = rules.flatMap(({ who }) => who).find(isUnknown);
  if (unknown === undefined) return undefined;
  return {
    keys: ['access.rules', 'access.groups'],
    wrong: `a rule is for ${shown(unknown)}, and access.groups has none of that name`,
    instead: 'Add it to access.groups, or correct the name.',
  };
}

function limitedAdmin({ access: { rules = [] } }: Settings): Broken | undefined {
  const isFutile = ({ actions, repositories, tags }: (typeof rules)[number]) =>
    [actions].flat().includes('admin') && !([repositories].flat().includes('**') && [tags].flat().includes('*'));
  if (!rules.some(isFutile)) return undefined;
  return {
    keys: ['access.rules'],
    wrong: 'a rule allows admin in some repositories or tags, which is about the whole server',
    instead: 'Allow it in a rule of its own without repositories and tags, or leave it out.',
  };
}

function unknownTrust({ access: { rules = [], trust } }: Settings): Broken | undefined {
  const names = new Set(trust.map(({ name }) => `trust:${name}`));
  const unknown = rules.flatMap(({ who }) => who).find((who) => who.startsWith('trust:') && !names.has(who));
  if (unknown === undefined) return undefined;
  return {
    keys: ['access.rules', 'access.trust'],
    wrong: `a rule is for ${shown(unknown)}, and access.trust has none of that name`,
    instead: 'Add it to access.trust, or correct the name.',
  };
}

function sameTrust({ access: { trust } }: Settings): Broken | undefined {
  const names = trust.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return undefined;
  return {
    keys: ['access.trust'],
    wrong: `${shown(twice)} is there twice`,
    instead: 'Give each a name of its own; one trust takes several patterns for a claim.',
  };
}

function trustWithoutRules(settings: Settings): Broken | undefined {
  if (settings.access.trust.length === 0 || closingKeys(settings).length > 0) return undefined;
  return {
    keys: ['access.trust', 'access.rules'],
    wrong: 'nothing says what it may do',
    instead: 'Add a rule such as {who: trust:NAME, actions: [pull, push]} to access.rules.',
  };
}

const ISSUER_KEYS = ['realm', 'service', 'issuer'] as const;

function halfIssuer({ access: { issuer } }: Settings): Broken | undefined {
  const set = Object.entries(issuer).flatMap(([key, value]) => (value === undefined ? [] : [key]));
  if (set.length === 0) return undefined;
  const missing = ISSUER_KEYS.find((key) => issuer[key] === undefined);
  const at = `access.issuer.${set[0]}`;
  if (missing !== undefined) {
    return {
      keys: [at, `access.issuer.${missing}`],
      wrong: `access.issuer.${missing} is missing beside it`,
      instead: `Set realm, service and issuer as the token server has them, or none of access.issuer.`,
    };
  }
  if ((issuer.certificates === undefined) !== (issuer.jwks === undefined)) return undefined;
  return {
    keys: [at, 'access.issuer.certificates', 'access.issuer.jwks'],
    wrong: issuer.jwks === undefined ? 'no keys are there to check its tokens with' : 'its keys are there twice',
    instead: 'Set either access.issuer.certificates or access.issuer.jwks.',
  };
}

function exposed(settings: Settings): Broken | undefined {
  const { address, access } = settings;
  const host = parseAddress(address)?.host ?? '';
  const isAccessConfigured = closingKeys(settings).length > 0;
  if (!isExposed({ host, allowAnonymous: access.allowAnonymous, isAccessConfigured })) return undefined;
  return { keys: ['address', 'access.allowAnonymous'], ...EXPOSED };
}
