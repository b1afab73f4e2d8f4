import { isIP } from 'node:net';
import type { AccessAction, Config } from '../config/config.ts';
import { ACCESS_ACTIONS } from '../config/access-words.ts';
import { parseReference, parseRepositoryName, type RepositoryName, type Tag } from '../oci/names.ts';
import { ANONYMOUS, type Caller } from '../server/auth/caller.ts';
import { groupsOf } from '../server/auth/groups.ts';
import { Policy, type Misfit, type Question } from '../server/auth/policy.ts';

/** The question cannot be asked so; the message says how. */
export class CannotExplain extends Error {
  override readonly name = 'CannotExplain';
}

const USAGE =
  'write: entrepot access explain USER ACTION REPOSITORY[:TAG] [ADDRESS], for example alice push team/app:1.0';

const WORDS: Readonly<Record<Misfit, string>> = {
  who: 'is for others',
  action: 'is about other actions',
  repository: 'is about other repositories',
  tag: 'is about other tags',
  address: 'holds from other addresses',
  date: 'held until an earlier day',
};

/**
 * Says which rule of the configuration allows something, or of each rule why it does not.
 *
 * @param words USER (or `anonymous`), ACTION, REPOSITORY[:TAG], and the ADDRESS that it is done from
 * @throws CannotExplain
 */
export function explainAccess({ access }: Config, words: readonly string[]): string {
  const { rules, groups, isOpen } = access;
  const [user = '', action = '', on = '', address = '127.0.0.1', ...more] = words;
  if (action !== '' && !ACCESS_ACTIONS.includes(action as AccessAction)) {
    throw new CannotExplain(`"${action}" is no action: ${ACCESS_ACTIONS.join(', ')}; ${USAGE}`);
  }
  if (action === '' || more.length > 0 || user === '') throw new CannotExplain(USAGE);
  if (isIP(address) === 0) throw new CannotExplain(`"${address}" is no IP address; ${USAGE}`);
  if (action !== 'admin' && on === '') throw new CannotExplain(USAGE);
  const what = `${user} may ${action}${on === '' ? '' : ` ${on}`}`;
  if (isOpen) return `yes: access is open, everyone may do everything; access.htpasswd would change that`;
  const caller = callerOf(user, groups);
  const question: Question = { caller, action: action as AccessAction, ...touched(on), address, now: Date.now() };
  const misfits = new Policy(rules).explain(question);
  const allowing = misfits.indexOf(undefined);
  if (allowing >= 0) return `yes: ${what}, by ${ruleName(allowing)}${caveat(question)}`;
  const elsewhere = access.issuer === undefined ? [] : [`  tokens of ${access.issuer.realm} allow what they grant`];
  const lines = misfits.map((misfit, index) => `  ${ruleName(index)} ${WORDS[misfit ?? 'who']}`);
  return [`no: no rule says that ${what} (from ${address})`, ...lines, ...elsewhere].join('\n');
}

/** `alice`, `user:alice`, `robot:ci`, `trust:NAME` or `anonymous`, as in the rules. */
function callerOf(word: string, groups: Config['access']['groups']): Caller {
  if (word === 'anonymous') return ANONYMOUS;
  const user = word.replace(/^user:/, '');
  const principal = /^(?:robot|trust):/.test(word) ? word : undefined;
  return { user, groups: groupsOf({ groups }, user, principal), ...(principal !== undefined && { principal }) };
}

function touched(on: string): { repository?: RepositoryName; tag?: Tag | undefined } {
  if (on === '') return {};
  const [, name = on, reference] = /^(.*?)[:@](.*)$/.exec(on) ?? [];
  try {
    const repository = parseRepositoryName(name);
    return reference === undefined ? { repository } : { repository, tag: parseReference(reference).tag };
  } catch {
    throw new CannotExplain(`"${on}" is no REPOSITORY[:TAG]: ${USAGE}`);
  }
}

function ruleName(index: number): string {
  return `rule ${index + 1} (access.rules[${index}])`;
}

function caveat({ action, tag }: Question): string {
  return action === 'push' && tag !== undefined ? '; a tag that is there already takes overwrite as well' : '';
}
