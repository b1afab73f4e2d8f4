import { userInfo } from 'node:os';
import type { Config } from '../config/config.ts';
import {
  AccountFault,
  noToken,
  type Management,
  type TokenInfo,
  type TokenRequest,
} from '../server/auth/management.ts';
import { audited } from './audited.ts';
import { columns, minuteOf } from './columns.ts';
import { hintOf, withManagement } from './open-management.ts';

/** Options of `entrepot token create`, as text. */
export interface TokenOptions {
  readonly user?: string | undefined;
  readonly robot?: string | undefined;
  readonly actions?: string | undefined;
  readonly repositories?: string | undefined;
  readonly tags?: string | undefined;
  readonly expires?: string | undefined;
}

/**
 * Makes an access token.
 *
 * @returns the token alone, for a pipe, and what to say beside it
 * @throws AccountFault
 */
export async function createToken(
  config: Config,
  name: string,
  options: TokenOptions,
): Promise<{ readonly secret: string; readonly note: string }> {
  const request: TokenRequest = {
    ...options,
    name,
    actions: listOf(options.actions),
    repositories: listOf(options.repositories),
    tags: listOf(options.tags),
  };
  return changing(config, `token create ${name}`, async (management) => {
    const { secret, info } = await management.createToken(request, `${userInfo().username} at the terminal`);
    const until = info.expiresAt === undefined ? 'for ever' : `until ${minuteOf(info.expiresAt)} UTC`;
    const [kind, owner = ''] = info.owner.split(':');
    const login = `docker login --username ${owner} --password-stdin HOST`;
    const rule = kind === 'robot' ? `\nwhat it may do is in the rules for robot:${owner}` : '';
    const note = `token ${info.id} of ${info.owner}, ${until}; it is not shown again\nlog in with: ${login}${rule}`;
    return { secret, note: `${hintOf(config)}${note}` };
  });
}

/** @returns what to tell the person */
export async function listTokens(config: Config): Promise<string> {
  const tokens = await withManagement(config, (management) => management.tokens());
  return columns([['ID', 'OWNER', 'NAME', 'STATE', 'EXPIRES (UTC)', 'LAST USED (UTC)', 'SCOPE'], ...tokens.map(rowOf)]);
}

/**
 * @returns what to tell the person
 * @throws AccountFault
 */
export async function revokeTokens(config: Config, ids: readonly string[]): Promise<string> {
  if (ids.length === 0) throw new AccountFault(400, 'name the tokens by their ids: entrepot token revoke ID ...');
  return changing(config, `token revoke ${ids.join(' ')}`, async (management) => {
    for (const id of ids) {
      if (!/^\d{1,15}$/.test(id)) throw noToken(`"${id.slice(0, 8)}"`);
      await management.revokeToken(Number(id));
    }
    return `revoked: ${ids.join(', ')}; nobody gets in with them any more`;
  });
}

function changing<T>(config: Config, subject: string, work: (management: Management) => Promise<T>): Promise<T> {
  return audited(config, { subject }, () => withManagement(config, work));
}

function rowOf({ id, owner, name, state, expiresAt, lastUsed, scope }: TokenInfo): readonly string[] {
  const tags = scope.tags.includes('*') ? '' : ` tags ${scope.tags.join(',')}`;
  const words = `${scope.actions.join(',')} in ${scope.repositories.join(',')}${tags}`;
  return [String(id), owner, name, state, minuteOf(expiresAt), minuteOf(lastUsed), words];
}

function listOf(text: string | undefined): readonly string[] | undefined {
  return text?.split(',').map((word) => word.trim());
}
