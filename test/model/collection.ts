import type { Model, Step } from './explore.ts';

/*
 * The protocol of the garbage collection, for one blob in two repositories: two pushers, two collectors, one crash.
 * Every transaction of the index is one step, and so is every change of the tree. `registry/collection.ts` takes these
 * steps.
 */

/** Clauses of the protocol; without any one of them an acknowledged image breaks. */
export interface Clauses {
  /** Whoever is about to rely on stored bytes makes the row live in the transaction in which it takes its locks. */
  readonly claims: boolean;
  /** And waits for the end of a deletion that has begun. */
  readonly waitsForDeletion: boolean;
  /** The collector leaves alone what somebody is changing right now. */
  readonly respectsIntents: boolean;
  /** It looks again at everything in the transaction that begins the deletion. */
  readonly checksAgain: boolean;
  /** A link leaves the index in the transaction that decides it, before it leaves the tree. */
  readonly unlinksAtOnce: boolean;
  /** A manifest's references are recorded as pending with its locks. */
  readonly pendingReferences: boolean;
  /** Nothing is condemned or deleted while a repository is in doubt. */
  readonly knowsTheTree: boolean;
  /** A repository in doubt is not compared with the tree while the blob is being deleted. */
  readonly comparisonWaits: boolean;
}

export const OURS: Clauses = {
  claims: true,
  waitsForDeletion: true,
  respectsIntents: true,
  checksAgain: true,
  unlinksAtOnce: true,
  pendingReferences: true,
  knowsTheTree: true,
  comparisonWaits: true,
};

type Owner = string | null;

interface Repository {
  /** What the index says. */
  readonly linked: boolean;
  readonly inTree: boolean;
  /** Who is changing the link. */
  readonly intent: Owner;
  readonly manifest: 'none' | 'pending' | 'committed';
  /** A client was told by HEAD that the blob is there, and has not pushed its manifest yet. */
  readonly promised: boolean;
  /** A change of it was cut short: the index may not be what the tree is. */
  readonly isDoubted: boolean;
}

export interface State {
  readonly bytes: boolean;
  readonly row: 'none' | 'live' | 'condemned' | 'deleting';
  readonly lease: Owner;
  /** Nobody used it for longer than the grace. */
  readonly isOld: boolean;
  readonly repositories: readonly [Repository, Repository];
  /** Where each process is in its work. */
  readonly at: Readonly<Record<string, string>>;
  readonly hasCrashed: boolean;
  readonly broken: string | null;
}

const EMPTY: Repository = {
  linked: false,
  inTree: false,
  intent: null,
  manifest: 'none',
  promised: false,
  isDoubted: false,
};
const PUSHERS = ['p0', 'p1'] as const;
const COLLECTORS = ['c0', 'c1'] as const;
/** Compares repositories in doubt with the tree. */
const COMPARER = 'v';

/** @param mounts whether the second pusher tries to mount from the first repository before it uploads */
export function collectionModel(clauses: Clauses, { mounts }: { readonly mounts: boolean }): Model<State> {
  return {
    start: {
      bytes: false,
      row: 'none',
      lease: null,
      isOld: false,
      repositories: [EMPTY, EMPTY],
      at: { p0: 'idle', p1: 'idle', c0: 'idle', c1: 'idle', v: 'idle' },
      hasCrashed: false,
      broken: null,
    },
    steps: (state) => [
      ...PUSHERS.flatMap((name, index) => pusherSteps(clauses, state, name, index, mounts && index === 1)),
      ...COLLECTORS.flatMap((name) => collectorSteps(clauses, state, name)),
      ...comparerSteps(clauses, state),
      ...environmentSteps(state),
    ],
    violation: ({ broken, repositories, bytes }) => {
      if (broken !== null) return broken;
      const lost = repositories.some(
        (each) => each.manifest === 'committed' && (!each.linked || !each.inTree || !bytes),
      );
      return lost ? 'an acknowledged image has lost its blob' : undefined;
    },
  };
}

function isIdle(state: State, index: number): boolean {
  const repository = at(state, index);
  return repository.intent === null;
}

function at({ repositories }: State, index: number): Repository {
  const repository = repositories[index];
  if (repository === undefined) throw new RangeError(`repository ${index}`);
  return repository;
}

function withRepository(state: State, index: number, change: Partial<Repository>): State {
  const [first, second] = state.repositories;
  return {
    ...state,
    repositories: index === 0 ? [{ ...first, ...change }, second] : [first, { ...second, ...change }],
  };
}

function moved(state: State, name: string, place: string): State {
  return { ...state, at: { ...state.at, [name]: place } };
}

/** Somebody relies on the stored bytes from now on. */
function claimed(clauses: Clauses, state: State): State {
  if (!clauses.claims || state.row === 'none' || state.row === 'deleting') return state;
  return { ...state, row: 'live', isOld: false };
}

function pusherSteps(clauses: Clauses, state: State, name: string, index: number, mounts: boolean): Step<State>[] {
  const place = state.at[name] ?? 'gone';
  const mine = at(state, index);
  const step = (what: string, next: State): Step<State>[] => [{ name: `${name} ${what}`, next }];
  switch (place) {
    case 'idle': {
      if (mine.manifest !== 'none')
        return step('deletes its image', withRepository(state, index, { manifest: 'none' }));
      const first = mounts ? 'mount' : 'upload';
      if (!mine.linked) return step('HEAD finds nothing', moved(state, name, first));
      const promised = withRepository({ ...state, isOld: false }, index, { promised: true });
      return [
        ...step('HEAD finds it', moved(promised, name, 'manifest')),
        ...step('uploads it again without asking', moved(state, name, 'upload')),
      ];
    }
    case 'mount': {
      const source = at(state, 0);
      if (!source.linked) return step('finds nothing to mount', moved(state, name, 'upload'));
      return step('finds what to mount', moved(state, name, 'mount-claim'));
    }
    case 'mount-claim': {
      if (!isIdle(state, index)) return [];
      if (state.row === 'none' || (state.row === 'deleting' && clauses.waitsForDeletion)) {
        return step('finds it gone', moved(state, name, 'upload'));
      }
      return step(
        'locks the mount',
        moved(withRepository(claimed(clauses, state), index, { intent: name }), name, 'mount-look'),
      );
    }
    case 'mount-look': {
      if (!state.bytes)
        return step('mounts nothing', moved(withRepository(state, index, { intent: null }), name, 'upload'));
      return step('sees the bytes', moved(state, name, 'link'));
    }
    case 'upload': {
      const isBlocked = state.row === 'deleting' && clauses.waitsForDeletion;
      if (!isIdle(state, index) || isBlocked) return [];
      return step(
        'locks the upload',
        moved(withRepository(claimed(clauses, state), index, { intent: name }), name, 'bytes'),
      );
    }
    case 'bytes': {
      const isStored = state.row !== 'none' && state.bytes;
      return step(
        isStored ? 'finds the bytes stored' : 'writes the bytes',
        moved({ ...state, bytes: true }, name, 'link'),
      );
    }
    case 'link':
      return step('writes the link', moved(withRepository(state, index, { inTree: true }), name, 'linked'));
    case 'linked': {
      const known = { ...state, row: 'live', isOld: false } as const;
      const next = withRepository(known, index, { linked: true, intent: null });
      return step('ends the upload', moved(next, name, 'manifest'));
    }
    case 'manifest': {
      if (!isIdle(state, index)) return [];
      if (!mine.linked) {
        const broken = mine.promised ? 'HEAD promised a blob that was then not there' : null;
        return step('is refused its manifest', moved({ ...state, broken }, name, 'upload'));
      }
      const manifest = clauses.pendingReferences ? 'pending' : 'none';
      return step('begins its manifest', moved(withRepository(state, index, { manifest }), name, 'manifest-end'));
    }
    case 'manifest-end': {
      const next = withRepository(state, index, { manifest: 'committed', promised: false });
      return step('ends its manifest', moved(next, name, 'idle'));
    }
    default:
      return [];
  }
}

/** Nothing holds the blob. */
function isFree(clauses: Clauses, { repositories, isOld }: State): boolean {
  if (clauses.knowsTheTree && repositories.some(({ isDoubted }) => isDoubted)) return false;
  const isInUse = repositories.some(({ intent }) => clauses.respectsIntents && intent !== null);
  return isOld && !isInUse && repositories.every(({ linked }) => !linked);
}

function collectorSteps(clauses: Clauses, state: State, name: string): Step<State>[] {
  const place = state.at[name] ?? '';
  const step = (what: string, next: State): Step<State>[] => [{ name: `${name} ${what}`, next }];
  if (place === 'idle') {
    return [
      ...[0, 1].flatMap((index) => unlinkSteps(clauses, state, name, index)),
      ...(state.row === 'live' && isFree(clauses, state) ? step('condemns it', { ...state, row: 'condemned' }) : []),
      ...(state.row === 'condemned' && (isFree(clauses, state) || !clauses.checksAgain)
        ? step('begins the deletion', moved({ ...state, row: 'deleting', lease: name }, name, 'delete'))
        : []),
    ];
  }
  if (place.startsWith('unlink')) {
    const index = Number(place.slice(-1));
    if (place.startsWith('unlink-tree')) {
      return step(
        'removes the link',
        moved(withRepository(state, index, { inTree: false }), name, `unlink-end${index}`),
      );
    }
    return step(
      'ends the unlinking',
      moved(withRepository(state, index, { linked: false, intent: null }), name, 'idle'),
    );
  }
  if (place === 'delete') return step('removes the bytes', moved({ ...state, bytes: false }, name, 'forget'));
  if (place === 'forget') {
    // An upload may have made it live again, where it does not wait.
    const row = state.row === 'deleting' && state.lease === name ? 'none' : state.row;
    return step('forgets it', moved({ ...state, row, lease: null }, name, 'idle'));
  }
  return [];
}

function unlinkSteps(clauses: Clauses, state: State, name: string, index: number): Step<State>[] {
  const repository = at(state, index);
  if (!repository.linked || repository.manifest !== 'none' || !state.isOld || repository.intent !== null) return [];
  const change = { intent: name, ...(clauses.unlinksAtOnce && { linked: false }) };
  const next = moved(withRepository(state, index, change), name, `unlink-tree${index}`);
  return [{ name: `${name} decides to unlink it from ${index}`, next }];
}

function environmentSteps(state: State): Step<State>[] {
  const steps: Step<State>[] = [];
  // What HEAD says is good for so long.
  const [first, second] = state.repositories;
  const repositories = [
    { ...first, promised: false },
    { ...second, promised: false },
  ] as const;
  if (!state.isOld) steps.push({ name: 'a day passes', next: { ...state, isOld: true, repositories } });
  if (state.hasCrashed) return steps;
  for (const name of [...PUSHERS, ...COLLECTORS]) {
    if (state.at[name] !== 'idle') steps.push({ name: `${name} is killed`, next: killed(state, name) });
  }
  return steps;
}

/** Looks at the tree, and writes down what it saw: two steps, as long as somebody holds no lock. */
function comparerSteps(clauses: Clauses, state: State): Step<State>[] {
  const place = state.at[COMPARER] ?? 'idle';
  return [0, 1].flatMap((index) => {
    const { isDoubted, intent, inTree } = at(state, index);
    const waits = clauses.comparisonWaits && state.row === 'deleting';
    if (place === 'idle' && isDoubted && intent === null && !waits) {
      const seen = inTree && state.bytes ? 'there' : 'gone';
      const next = withRepository(state, index, { intent: COMPARER });
      return [{ name: `compares ${index}: ${seen}`, next: moved(next, COMPARER, `${index} ${seen}`) }];
    }
    if (!place.startsWith(`${index} `)) return [];
    const linked = place.endsWith('there');
    const next = moved(withRepository(state, index, { intent: null, isDoubted: false, linked }), COMPARER, 'idle');
    return [{ name: `ends comparing ${index}`, next: linked ? { ...next, row: 'live', isOld: false } : next }];
  });
}

/** Its locks are given up: what it was changing is in doubt. */
function killed(state: State, name: string): State {
  let next: State = { ...moved(state, name, name.startsWith('p') ? 'gone' : 'idle'), hasCrashed: true };
  // A deletion that was cut short is none.
  if (next.lease === name) next = { ...next, row: next.row === 'deleting' ? 'live' : next.row, lease: null };
  for (const index of [0, 1]) {
    const repository = at(next, index);
    if (name === PUSHERS[index]) {
      const manifest = repository.manifest === 'pending' ? 'none' : repository.manifest;
      next = withRepository(next, index, { manifest, promised: false });
    }
    if (repository.intent !== name) continue;
    next = withRepository(next, index, { intent: null, isDoubted: true });
  }
  return next;
}
