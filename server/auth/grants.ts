import type { AccessAction } from '../../config/config.ts';
import type { RepositoryName } from '../../oci/names.ts';
import type { ScopeAction } from './scope.ts';
import type { TokenAccess } from './tokens.ts';

/** What one token grants, of which the rules may still deny something. */
export interface Grants {
  readonly repositories: ReadonlyMap<RepositoryName, ReadonlySet<ScopeAction>>;
  readonly catalog: boolean;
  readonly admin: boolean;
}

/** Whether the token was made for this. */
export function covers(grants: Grants, action: AccessAction, repository: RepositoryName | undefined): boolean {
  if (action === 'admin') return grants.admin;
  if (repository === undefined) return false;
  const granted = grants.repositories.get(repository);
  return granted?.has(action === 'overwrite' ? 'push' : action) ?? false;
}

/** Everything that a token's `access` claim lists. */
export function grantsOf(access: readonly TokenAccess[]): Grants {
  const repositories = new Map<RepositoryName, ReadonlySet<ScopeAction>>();
  for (const entry of access) {
    if (entry.type !== 'repository') continue;
    repositories.set(entry.name, new Set(entry.actions).union(repositories.get(entry.name) ?? new Set()));
  }
  const has = (name: string) => access.some((entry) => entry.type === 'registry' && entry.name === name);
  return { repositories, catalog: has('catalog'), admin: has('admin') };
}
