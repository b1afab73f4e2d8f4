import type { AccessAction, AccessRule } from '../../config/config.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { Caller } from './caller.ts';
import { createGlob, type Glob } from '../../registry/glob.ts';
import { createNetworks } from '../http/networks.ts';

/** What one request wants to do to one thing. */
export interface Question {
  readonly caller: Caller;
  readonly action: AccessAction;
  /** Absent for `admin`, which is about the server. */
  readonly repository?: RepositoryName | undefined;
  /** Absent for what has no tag: blobs, manifests by digest, the repository as a whole. */
  readonly tag?: Tag | undefined;
  /** IP address of the client. */
  readonly address: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/**
 * Who may do what: the rules of the configuration. Everything that no rule allows is denied; no rule takes away what
 * another gives.
 */
export class Policy {
  readonly #rules: readonly Rule[];

  constructor(rules: readonly AccessRule[]) {
    this.#rules = rules.map((rule, index) => new Rule(rule, index));
  }

  /** The number of the first rule that allows it, from 0; undefined when none does. */
  find(question: Question): number | undefined {
    return this.#rules.find((rule) => rule.allows(question))?.index;
  }

  /** Of each rule what of the question it is not about; undefined for one that allows it. */
  explain(question: Question): readonly (Misfit | undefined)[] {
    return this.#rules.map((rule) => rule.misfit(question));
  }

  /** Whether a rule allows the action on anything of the repository. */
  allowsIn(question: Omit<Question, 'tag'>): boolean {
    return this.#rules.some((rule) => rule.appliesTo(question) && rule.isAboutRepository(question));
  }

  /** Whether a rule allows the action on anything at all, so that it makes sense to look for what. */
  allowsSomewhere(question: Omit<Question, 'repository' | 'tag'>): boolean {
    return this.#rules.some((rule) => rule.appliesTo(question));
  }

  /** Whether a rule allows the action on everything there is. */
  allowsEverywhere(question: Omit<Question, 'repository' | 'tag'>): boolean {
    return this.#rules.some((rule) => rule.isUnlimited && rule.appliesTo(question));
  }
}

/** What of a question a rule is not about. */
export type Misfit = 'who' | 'action' | 'repository' | 'tag' | 'address' | 'date';

class Rule {
  readonly index: number;
  /** It names neither repositories nor tags. */
  readonly isUnlimited: boolean;
  readonly #who: ReadonlySet<string>;
  readonly #actions: ReadonlySet<AccessAction>;
  readonly #repositories: readonly Glob[];
  /** Undefined: all, and what has none. */
  readonly #tags: readonly Glob[] | undefined;
  readonly #isFrom: (address: string) => boolean;
  readonly #untilMs: number;

  constructor({ who, actions, repositories, tags, from, untilMs }: AccessRule, index: number) {
    this.index = index;
    this.isUnlimited = repositories.includes('**') && tags.includes('*');
    this.#who = new Set(who);
    this.#actions = new Set(actions);
    this.#repositories = repositories.map(createGlob);
    this.#tags = tags.includes('*') ? undefined : tags.map(createGlob);
    this.#isFrom = from === undefined ? () => true : createNetworks(from);
    this.#untilMs = untilMs ?? Number.POSITIVE_INFINITY;
  }

  allows(question: Question): boolean {
    return this.misfit(question) === undefined;
  }

  /** The first thing that does not fit. */
  misfit(question: Question): Misfit | undefined {
    const { caller, action, address, now } = question;
    if (!this.#isMeant(caller)) return 'who';
    if (!this.#actions.has(action)) return 'action';
    if (!this.#isFrom(address)) return 'address';
    if (now > this.#untilMs) return 'date';
    // Whoever may do everything in a part of the registry does not run the server.
    if (action === 'admin') return this.isUnlimited ? undefined : 'repository';
    if (!this.isAboutRepository(question)) return 'repository';
    return this.#isAboutTag(question) ? undefined : 'tag';
  }

  /** All but what the action is done to. */
  appliesTo({ caller, action, address, now }: Omit<Question, 'repository' | 'tag'>): boolean {
    return this.#actions.has(action) && now <= this.#untilMs && this.#isMeant(caller) && this.#isFrom(address);
  }

  isAboutRepository({ caller, repository }: Pick<Question, 'caller' | 'repository'>): boolean {
    return repository !== undefined && this.#repositories.some((glob) => glob(repository, caller.user));
  }

  #isMeant({ user, groups, principal = `user:${user}` }: Caller): boolean {
    // Nobody is refused what anonymous may: showing who one is must not cost a right.
    if (this.#who.has('anonymous')) return true;
    if (user === undefined) return false;
    // What another issuer vouches for has no account here.
    if (this.#who.has('authenticated') && !principal.startsWith('trust:')) return true;
    return this.#who.has(principal) || groups.some((group) => this.#who.has(`group:${group}`));
  }

  #isAboutTag({ caller, action, tag }: Question): boolean {
    if (this.#tags === undefined) return true;
    // An image with such a tag is made of blobs and manifests without one: to pull or push it takes them all. To delete
    // or to move takes what was named.
    if (tag === undefined) return action === 'pull' || action === 'push';
    return this.#tags.some((glob) => glob(tag, caller.user));
  }
}
