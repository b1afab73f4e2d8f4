import type { Config } from '../config/config.ts';
import type { Management } from '../server/auth/management.ts';
import { audited } from './audited.ts';
import { columns, minuteOf } from './columns.ts';
import { hintOf, withManagement } from './open-management.ts';
import { readPassword } from './password.ts';

/** What `entrepot user` does; `NAME` is missing for `list` alone. */
export const USER_VERBS = ['add', 'list', 'disable', 'enable', 'passwd'] as const;

export type UserVerb = (typeof USER_VERBS)[number];

/**
 * Accounts of the store.
 *
 * @returns what to tell the person
 * @throws AccountFault
 */
export async function manageUsers(config: Config, verb: UserVerb, name: string): Promise<string> {
  if (verb === 'list') return withManagement(config, (management) => list(management, config));
  // Before the database is opened: somebody is typing.
  const password = verb === 'add' || verb === 'passwd' ? await readPassword(name) : '';
  return audited(config, { subject: `user ${verb} ${name}` }, () =>
    withManagement(config, (management) => change(management, { config, verb, name, password })),
  );
}

async function change(
  management: Management,
  { config, verb, name, password }: { config: Config; verb: Exclude<UserVerb, 'list'>; name: string; password: string },
): Promise<string> {
  if (verb === 'add') {
    await management.addUser(name, password);
    return `${hintOf(config)}${name} can log in`;
  }
  if (verb === 'passwd') {
    await management.setPassword(name, password);
    return `${name} has a new password; what was logged in with the one before is not any more. Access tokens stay: entrepot token list`;
  }
  await management.setDisabled(name, verb === 'disable');
  if (verb === 'enable') return `${name} can log in`;
  return `${name} cannot log in any more, nor with access tokens; entrepot user enable ${name} takes it back`;
}

async function list(management: Management, { access: { htpasswd } }: Config): Promise<string> {
  const users = (await management.users()).map(({ name, isDisabled, createdAt, changedAt }) => [
    name,
    isDisabled ? 'disabled' : 'active',
    minuteOf(createdAt),
    minuteOf(changedAt),
  ]);
  const table = columns([['USER', 'STATE', 'MADE (UTC)', 'CHANGED (UTC)'], ...users]);
  return htpasswd === undefined ? table : `${table}\nand those in ${htpasswd}`;
}
