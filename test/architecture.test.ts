import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { findCycle, importsOf, readSources, type Import, type SourceFile } from './architecture/source-tree.ts';
import { PROJECT_ROOT } from './harness/process.ts';

// The layers, and which others each may import.
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  oci: [],
  config: [],
  storage: ['oci'],
  registry: ['oci', 'storage'],
  server: ['oci', 'storage', 'registry', 'config'],
  cli: ['oci', 'storage', 'registry', 'config', 'server'],
  deploy: [],
  // What is too large to be pushed is written as the storage has it.
  bench: ['oci', 'storage', 'test/harness', 'test/scale', 'test/clients'],
};

// Packages and modules of Node that only some places may know, as prefixes of paths.
const KNOWN_ONLY_TO: Readonly<Record<string, readonly string[]>> = {
  zod: ['config/', 'bench/', 'test/'],
  yaml: ['config/', 'test/'],
  express: ['server/api/'],
  pino: ['server/observe/'],
  'pino-pretty': ['server/observe/'],
  'prom-client': ['server/observe/'],
  'fast-check': ['test/'],
  pg: ['storage/metadata/postgres/', 'test/'],
  bcrypt: ['server/auth/', 'test/'],
  jsonwebtoken: ['server/auth/', 'test/'],
  // The lock on the root is a transaction of a database, because Node has no file locks.
  'node:sqlite': ['storage/metadata/', 'server/root-lock.ts', 'cli/doctor/lock.ts', 'bench/space/', 'test/'],
  'node:test': ['test/'],
  'node:cluster': ['server/', 'test/'],
};

// Handlers get what they need from the composition: they know neither the configuration nor the index.
const HANDLERS = ['server/v2/', 'server/http/'];
const HIDDEN_FROM_HANDLERS = ['config/', 'storage/metadata/'];

// A test file is a list of cases, which may be longer than what a reader has to keep in mind at once.
const MOST_LINES = 350;
const MOST_LINES_OF_A_TEST = 500;

const DOUBLE_CAST = /\bas unknown as\b/;
// Where a value is cast twice, with the reason at the line itself.
const MAY_CAST_TWICE: readonly string[] = [];

const SOURCES = readSources();
const IMPORTS = SOURCES.flatMap(({ imports }) => imports);
const OURS = IMPORTS.filter(({ isOurs }) => isOurs);

describe('the sources', () => {
  it('are seen, in every layer, with their imports', () => {
    for (const layer of Object.keys(LAYERS)) {
      assert.ok(
        SOURCES.some(({ path: file }) => layerOf(file) === layer),
        `no source in ${layer}/`,
      );
    }
    assert.ok(SOURCES.length > 100, `only ${SOURCES.length} sources`);
    assert.ok(OURS.length > 200, `only ${OURS.length} imports`);
    for (const known of Object.keys(KNOWN_ONLY_TO)) {
      assert.ok(
        IMPORTS.some(({ to }) => to === known),
        `nothing imports ${known}: is it still to be listed?`,
      );
    }
  });

  it('import only files that exist', () => {
    assert.deepEqual(
      OURS.filter(({ to }) => !existsSync(path.join(PROJECT_ROOT, to))),
      [],
    );
  });

  it('import from their own layer and from those below', () => {
    assert.deepEqual(OURS.filter(isAgainstTheLayers).map(inWords), []);
  });

  it('have no cycles when they run', () => {
    const loaded = OURS.filter(({ isOnlyType }) => !isOnlyType);
    assert.notEqual(loaded.length, 0);
    assert.equal(findCycle(loaded)?.join(' -> '), undefined);
  });

  it('know the packages that are theirs to know', () => {
    const strangers = IMPORTS.filter(({ from, to }) => {
      const places = KNOWN_ONLY_TO[to];
      return places !== undefined && !startsWithOne(from, places);
    });
    assert.deepEqual(strangers.map(inWords), []);
  });

  it('of handlers know neither the configuration nor the index', () => {
    const ofHandlers = OURS.filter(({ from }) => startsWithOne(from, HANDLERS));
    assert.notEqual(ofHandlers.length, 0);
    assert.deepEqual(ofHandlers.filter(({ to }) => startsWithOne(to, HIDDEN_FROM_HANDLERS)).map(inWords), []);
  });

  it('are short enough to be read', () => {
    const long = SOURCES.filter((source) => linesOf(source) > mostLines(source));
    assert.deepEqual(
      long.map((source) => `${source.path}: ${linesOf(source)} lines`),
      [],
    );
  });

  it('cast nothing through unknown', () => {
    const casting = SOURCES.filter(({ text }) => DOUBLE_CAST.test(text)).map(({ path: file }) => file);
    assert.deepEqual(casting, MAY_CAST_TWICE);
  });
});

describe('the reader of imports', () => {
  it('sees every form', () => {
    const text = [
      `import a from './a.ts';`,
      `import type { B } from '../b.ts';`,
      `import {\n  c,\n} from './c/c.ts';`,
      `export { d } from './d.ts';`,
      `import './e.ts';`,
      `  const f = await load('./f.ts');`.replace('load', 'import'),
      `import { z } from 'zod/v4';`,
      `import { readFile } from 'node:fs/promises';`,
      `const from = 'not an import';`,
    ].join('\n');
    assert.deepEqual(
      importsOf('x/y.ts', text).map(({ to }) => to),
      ['x/a.ts', 'b.ts', 'x/c/c.ts', 'x/d.ts', 'x/e.ts', 'x/f.ts', 'zod', 'node:fs/promises'],
    );
    assert.deepEqual(
      importsOf('x/y.ts', text).flatMap(({ to, isOnlyType }) => (isOnlyType ? [to] : [])),
      ['b.ts'],
    );
  });

  it('finds a cycle', () => {
    assert.deepEqual(findCycle([edge('a', 'b'), edge('b', 'c'), edge('c', 'b')]), ['b', 'c', 'b']);
    assert.equal(findCycle([edge('a', 'b'), edge('a', 'c'), edge('b', 'c')]), undefined);
  });

  it('tells an import against the layers from one along them', () => {
    assert.ok(isAgainstTheLayers(edge('oci/a.ts', 'storage/b.ts')));
    assert.ok(isAgainstTheLayers(edge('registry/a.ts', 'server/http/b.ts')));
    assert.ok(isAgainstTheLayers(edge('server/a.ts', 'test/harness/b.ts')));
    assert.ok(isAgainstTheLayers(edge('server/a.ts', 'cli/b.ts')));
    assert.ok(!isAgainstTheLayers(edge('server/a.ts', 'registry/b.ts')));
    assert.ok(!isAgainstTheLayers(edge('bench/a.ts', 'test/harness/b.ts')));
    assert.ok(!isAgainstTheLayers(edge('test/a.ts', 'bench/b.ts')));
  });
});

function edge(from: string, to: string): Import {
  return { from, to, isOurs: true, isOnlyType: false };
}

function isAgainstTheLayers({ from, to }: Import): boolean {
  const [layer, target] = [layerOf(from), layerOf(to)];
  if (layer === target || layer === 'test') return false;
  return !startsWithOne(to, LAYERS[layer]?.map((allowed) => `${allowed}/`) ?? []);
}

function layerOf(file: string): string {
  return file.split('/')[0] ?? '';
}

function startsWithOne(file: string, prefixes: readonly string[]): boolean {
  return prefixes.some((prefix) => file.startsWith(prefix));
}

function inWords({ from, to }: Import): string {
  return `${from} imports ${to}`;
}

function linesOf({ text }: SourceFile): number {
  return text.split('\n').length - 1;
}

function mostLines({ path: file }: SourceFile): number {
  return file.endsWith('.test.ts') ? MOST_LINES_OF_A_TEST : MOST_LINES;
}
