import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { PROJECT_ROOT } from '../harness/process.ts';

/** What one module names in an import: a path of the project, `node:...`, or a package. */
export interface Import {
  readonly from: string;
  readonly to: string;
  /** A path below the root of the project; otherwise Node's or a package's. */
  readonly isOurs: boolean;
  /** Gone when the program runs. */
  readonly isOnlyType: boolean;
}

export interface SourceFile {
  /** Below the root of the project, with slashes. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const FOLDERS = ['oci', 'storage', 'registry', 'server', 'config', 'cli', 'deploy', 'bench', 'test'];

// A static import or re-export at the start of a line, or `import()` of a literal.
const IMPORT = /(?:^(?:import|export)\b( type\b)?[^;'"`]*?\bfrom\s*|^import\s*|\bimport\()'([^'$]+)'/gm;

/** Every TypeScript source of the project. */
export function readSources(): readonly SourceFile[] {
  return FOLDERS.flatMap((folder) => globSync(`${folder}/**/*.ts`, { cwd: PROJECT_ROOT }))
    .toSorted()
    .map(readSource);
}

function readSource(file: string): SourceFile {
  const text = readFileSync(path.join(PROJECT_ROOT, file), 'utf8');
  return { path: file, text, imports: importsOf(file, text) };
}

/** What a source imports; types count like values. */
export function importsOf(file: string, text: string): readonly Import[] {
  return Array.from(text.matchAll(IMPORT), ([, type, name = '']) => {
    const isOurs = name.startsWith('.');
    const to = isOurs ? path.join(path.dirname(file), name) : packageOf(name);
    return { from: file, to, isOurs, isOnlyType: type !== undefined };
  });
}

function packageOf(name: string): string {
  if (name.startsWith('node:')) return name;
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}

/** The first cycle of imports as a list of paths that ends where it began; undefined when there is none. */
export function findCycle(imports: readonly Import[]): readonly string[] | undefined {
  const targets = Map.groupBy(imports, ({ from }) => from);
  const settled = new Set<string>();
  const visit = (file: string, trail: readonly string[]): readonly string[] | undefined => {
    if (trail.includes(file)) return [...trail.slice(trail.indexOf(file)), file];
    if (settled.has(file)) return undefined;
    for (const { to } of targets.get(file) ?? []) {
      const cycle = visit(to, [...trail, file]);
      if (cycle !== undefined) return cycle;
    }
    settled.add(file);
    return undefined;
  };
  return [...targets.keys()].map((file) => visit(file, [])).find((cycle) => cycle !== undefined);
}
