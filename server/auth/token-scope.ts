import type { AccessAction } from '../../config/config.ts';
import { ACCESS_ACTIONS } from '../../config/access-words.ts';
import { Policy } from './policy.ts';

/** What of its owner's rights an access token has: never more than these, whoever owns it. */
export interface TokenScope {
  readonly actions: readonly AccessAction[];
  /** Patterns, as in the rules. */
  readonly repositories: readonly string[];
  readonly tags: readonly string[];
}

/** Everything but running the server, which has to be asked for in so many words. */
export const WHOLE_SCOPE: TokenScope = {
  actions: ACCESS_ACTIONS.filter((action) => action !== 'admin'),
  repositories: ['**'],
  tags: ['*'],
};

/** What the scope allows to whoever has the token. */
export function policyOf(scope: TokenScope): Policy {
  return new Policy([{ who: ['anonymous'], ...scope }]);
}
