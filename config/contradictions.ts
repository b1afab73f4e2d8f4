import { parseAddress } from './address.ts';
import type { ListenAddress } from './config.ts';
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

type Broken = Pick<Contradiction, 'keys'> & Pick<ConfigFault, 'wrong' | 'instead'>;
type Rule = (settings: Settings) => Broken | undefined;

const RULES: readonly Rule[] = [halfTls, workersWithoutStorage, sameAddress, openAndClosed, rulesWithoutAccounts];

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

function openAndClosed({ access: { allowAnonymous, htpasswd, rules } }: Settings): Broken | undefined {
  if (!allowAnonymous || (htpasswd === undefined && rules === undefined)) return undefined;
  const other = rules === undefined ? 'htpasswd' : 'rules';
  return {
    keys: ['access.allowAnonymous', `access.${other}`],
    wrong: `it opens everything to everyone, and access.${other} does not`,
    instead: 'Remove it; a rule such as {who: anonymous, actions: pull} lets everyone pull.',
  };
}

function rulesWithoutAccounts({ access: { htpasswd, rules = [] } }: Settings): Broken | undefined {
  const known = rules.flatMap(({ who }) => who).find((who) => who !== 'anonymous');
  if (htpasswd !== undefined || known === undefined) return undefined;
  return {
    keys: ['access.rules', 'access.htpasswd'],
    wrong: `a rule is for ${shown(known)}, and nobody can log in`,
    instead: 'Name a file of accounts in access.htpasswd.',
  };
}

function exposed({ address, access }: Settings): Broken | undefined {
  const host = parseAddress(address)?.host ?? '';
  const isAccessConfigured = access.htpasswd !== undefined || access.rules !== undefined;
  if (!isExposed({ host, allowAnonymous: access.allowAnonymous, isAccessConfigured })) return undefined;
  return { keys: ['address', 'access.allowAnonymous'], ...EXPOSED };
}
