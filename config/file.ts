import { readFile } from 'node:fs/promises';
import {
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  visit,
  type Document,
  type Pair,
} from 'yaml';
import { codeOf, type ConfigFault } from './fault.ts';
import { isSection, type Section } from './section.ts';

/** What a configuration file says. */
export interface ConfigFile {
  /** What the keys hold, not checked yet; a key without a value is left out, as if it were not there. */
  readonly values: Section;
  /** Where a key is set, `FILE:LINE`; of a key that came by an anchor, where its section is. */
  originOf(path: readonly string[]): string;
  readonly faults: readonly ConfigFault[];
}

/** Reads a YAML file. Never throws: a file that cannot be read, or is no YAML, is a fault. */
export async function readConfigFile(file: string): Promise<ConfigFile> {
  try {
    return parseConfigFile(file, await readFile(file, 'utf8'));
  } catch (error) {
    const wrong = `it cannot be read (${codeOf(error)})`;
    return empty(file, { path: file, wrong, instead: 'Name a YAML file that this user may read.' });
  }
}

function empty(file: string, ...faults: ConfigFault[]): ConfigFile {
  return { values: {}, originOf: () => file, faults };
}

function parseConfigFile(file: string, text: string): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const placed = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  const problems = [...document.errors, ...document.warnings];
  const star = problems.length === 0 ? unknownAlias(document) : undefined;
  if (star !== undefined) return empty(file, { path: placed(star), ...STAR_IN_QUOTES });
  const faults = problems.map(({ code, message, pos }) => yamlFault(code, message, placed(pos[0])));
  if (problems.some(({ code }) => code !== DUPLICATE)) return empty(file, ...faults);
  const found = valuesOf(document, file);
  const originOf = (path: readonly string[]) => originIn(document, path, placed) ?? file;
  return { values: found.values, faults: [...faults, ...found.faults], originOf };
}

const DUPLICATE = 'DUPLICATE_KEY';

// What YAML takes for a reference to something else in the file.
const STAR_IN_QUOTES = {
  wrong: 'a value that begins with * has to be in quotes',
  instead: "Write '*' or '**/app', and what has { or } in it as 'home/{user}/**'.",
};

/** Where an alias stands that refers to nothing: in our files, a pattern. */
function unknownAlias(document: Document): number | undefined {
  let place: number | undefined;
  visit(document, {
    Alias: (_key, node) => {
      if (node.resolve(document) !== undefined) return undefined;
      place = node.range?.[0] ?? 0;
      return visit.BREAK;
    },
  });
  return place;
}

function yamlFault(code: string, message: string, place: string): ConfigFault {
  if (code === 'BAD_ALIAS') return { path: place, ...STAR_IN_QUOTES };
  return code === DUPLICATE
    ? { path: place, wrong: 'this key is set a second time', instead: 'Keep one of the two.' }
    : { path: place, wrong: `this is not YAML: ${sentence(message)}`, instead: 'Write YAML 1.2, one document.' };
}

function sentence(message: string): string {
  return message.replace(/\.$/, '');
}

function valuesOf(document: Document, file: string): Pick<ConfigFile, 'values' | 'faults'> {
  const fault = (wrong: string) => ({
    values: {},
    faults: [{ path: file, wrong, instead: 'Write keys with values, as in "address: 127.0.0.1:5000".' }],
  });
  try {
    // Throws where aliases multiply beyond all measure.
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    if (value === null || value === undefined) return { values: {}, faults: [] };
    if (!isSection(value)) return fault('it holds something else than keys with values');
    return { values: withoutEmpty(value), faults: [] };
  } catch (error) {
    return fault(sentence(error instanceof Error ? error.message : String(error)));
  }
}

function withoutEmpty(section: Section): Section {
  const kept = Object.entries(section).filter(([, value]) => value !== null);
  return Object.fromEntries(kept.map(([key, value]) => [key, isSection(value) ? withoutEmpty(value) : value]));
}

function originIn(document: Document, path: readonly string[], placed: (offset: number) => string): string | undefined {
  let node: unknown = document.contents;
  let origin: string | undefined;
  for (const name of path) {
    const section = isAlias(node) ? node.resolve(document) : node;
    if (isSeq(section)) {
      node = section.items[Number(name)];
      if (isNode(node) && node.range) origin = placed(node.range[0]);
      continue;
    }
    const pair: Pair | undefined = isMap(section)
      ? section.items.find(({ key }) => isScalar(key) && String(key.value) === name)
      : undefined;
    if (pair === undefined) return origin;
    if (isScalar(pair.key) && pair.key.range) origin = placed(pair.key.range[0]);
    node = pair.value;
  }
  return origin;
}
