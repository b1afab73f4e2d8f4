import { globSync } from 'node:fs';

/** A set of test files that are asked for by one name. */
export interface Suite {
  readonly name: string;
  readonly files: string;
  /** A process of its own for each file: it starts servers, mounts, crashes. All files in one process otherwise. */
  readonly isHeavy: boolean;
  /** How many files run beside each other; one unless given. */
  readonly atOnce?: number;
  /** For one process of it. */
  readonly timeoutMs: number;
  /** Variables that its tests run with. */
  readonly env?: Readonly<Record<string, string>>;
}

const MINUTE_MS = 60_000;

function quick(name: string, files = `test/${name}/**/*.test.ts`): Suite {
  return { name, files, isHeavy: false, timeoutMs: 8 * MINUTE_MS };
}

function heavy(name: string, minutes: number, atOnce = 1): Suite {
  return { name, files: `test/${name}/**/*.test.ts`, isHeavy: true, atOnce, timeoutMs: minutes * MINUTE_MS };
}

// In the order in which they are run.
const SUITES: readonly Suite[] = [
  quick('architecture', 'test/architecture.test.ts'),
  quick('unit'),
  quick('model'),
  quick('contracts'),
  quick('http'),
  quick('properties'),
  heavy('conformance', 8),
  heavy('adoption', 8, 2),
  heavy('clients', 12, 2),
  heavy('faults', 20),
  heavy('scale', 20, 2),
  heavy('replicas', 20),
  {
    ...heavy('replicas-clients', 12, 2),
    // Not those that start a server of another kind.
    files: 'test/clients/{buildah,containerd,crane,docker,login,oras,podman,regctl,skopeo}.test.ts',
    env: { ENTREPOT_TEST_REGISTRY: 'replicas' },
  },
];

/** What a user asked for does not exist. */
export class UnknownSuiteError extends Error {
  override readonly name = 'UnknownSuiteError';
}

/**
 * The suites that the command line names, each once, in the order in which they are run.
 *
 * None named: those that need nothing but Node. `all`: all.
 *
 * @throws UnknownSuiteError
 */
export function selectSuites(names: readonly string[]): readonly Suite[] {
  const unknown = names.filter((name) => name !== 'all' && !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    const known = [...SUITES.map(({ name }) => name), 'all'];
    throw new UnknownSuiteError(`no suite is called ${unknown.join(' or ')}; there are ${known.join(', ')}`);
  }
  if (names.length === 0) return SUITES.filter(({ isHeavy }) => !isHeavy);
  return names.includes('all') ? SUITES : SUITES.filter(({ name }) => names.includes(name));
}

/** Its files below `root`, as paths that start there. */
export function filesOf(suite: Suite, root: string): readonly string[] {
  return globSync(suite.files, { cwd: root }).toSorted();
}

/** What `node test/run.ts help` prints. */
export function usage(): string {
  const lines = SUITES.map(({ name, isHeavy }) => `  ${name}${isHeavy ? ' (needs tools)' : ''}`);
  return `node test/run.ts [SUITE...]\n\nSuites; without a name those that need no tools, with "all" all:\n${lines.join('\n')}`;
}
