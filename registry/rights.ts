import type { RepositoryName, Tag } from '../oci/names.ts';

/** What is asked about where only the registry knows what a request touches. */
export type RightsAction = 'pull' | 'push' | 'overwrite' | 'delete';

/**
 * What the caller of a request may do. Whether it may do what the request says by itself is decided before; this is
 * asked about what only the index knows: the tags of a manifest, where a tag points, who else has a blob, what a referrer is attached to.
 */
export interface Rights {
  /** @param tag absent: about the repository as a whole, or about what has no tag */
  may(action: RightsAction, repository: RepositoryName, tag?: Tag): boolean;
  /** Whether a list may show it. */
  sees(repository: RepositoryName): boolean;
  /** Nothing is hidden: a list need not ask about each name. */
  readonly seesAll: boolean;
}

/** Of whoever is at the machine itself, and of everyone where access is open. */
export const EVERYTHING: Rights = { may: () => true, sees: () => true, seesAll: true };
