import type { AccessConfig } from '../../config/config.ts';

/**
 * The groups that somebody is in.
 *
 * @param principal as the rules name who has no account: `robot:NAME`, `trust:NAME`. An account that is called so is in
 *   none of their groups
 */
export function groupsOf(
  { groups }: Pick<AccessConfig, 'groups'>,
  user: string,
  principal?: string,
): readonly string[] {
  const own = principal ?? `user:${user}`;
  return Object.keys(groups).filter((group) => groups[group]?.some((member) => principalOf(member) === own));
}

function principalOf(member: string): string {
  return /^(?:robot|trust):/.test(member) ? member : `user:${member}`;
}
