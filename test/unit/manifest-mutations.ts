import { isJsonObject } from '../../oci/json-field.ts';
import { placeOf, type Step } from '../../oci/manifest-fault.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';

/** One change after which a manifest must be refused at `place`. */
export interface Mutation {
  readonly name: string;
  readonly path: readonly Step[];
  /** Undefined takes the field away. */
  readonly value: unknown;
  readonly place: string;
}

/** Values that no field takes that holds a string, a number, an array or an object. */
const OF_NO_TYPE: readonly unknown[] = [true, false];
const NOT_STRINGS: readonly unknown[] = [...OF_NO_TYPE, 1, [], {}];
const NOT_OBJECTS: readonly unknown[] = [...OF_NO_TYPE, 1, 'text', []];
const NOT_ARRAYS: readonly unknown[] = [...OF_NO_TYPE, 1, 'text', {}, { length: 0 }];
const HEX = 'a'.repeat(64);

const NOT_MEDIA_TYPES: readonly unknown[] = [
  ...NOT_STRINGS,
  'json',
  'text/',
  '/plain',
  'text/plain; charset=utf-8',
  'text/plain ',
  'text/a/b',
  '.a/b',
  'ä/b',
  `a/${'b'.repeat(128)}`,
];
const NOT_DIGESTS: readonly unknown[] = [
  ...NOT_STRINGS,
  null,
  undefined,
  '',
  HEX,
  `sha256:${HEX.slice(1)}`,
  `sha256:${HEX}a`,
  `sha256:${HEX.toUpperCase()}`,
  `sha256:${HEX.slice(1)}g`,
  `sha256:${HEX}\n`,
  ` sha256:${HEX}`,
  `SHA256:${HEX}`,
  `sha512:${HEX}`,
  `md5:${'a'.repeat(32)}`,
  `sha256:../../../../${'a'.repeat(52)}`,
];
const NOT_SIZES: readonly unknown[] = [
  { size: 1.5 },
  ...OF_NO_TYPE,
  null,
  undefined,
  '1',
  -1,
  1.5,
  2 ** 53,
  1e300,
  [],
  {},
];

function each(path: readonly Step[], values: readonly unknown[], place = placeOf(path)): readonly Mutation[] {
  return values.map((value) => ({ name: `${placeOf(path)} = ${shown(value)}`, path, value, place }));
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

function ofDescriptor(...path: Step[]): readonly Mutation[] {
  const at = (...steps: Step[]) => [...path, ...steps];
  return [
    ...each(path, NOT_OBJECTS),
    ...each(at('mediaType'), [...NOT_MEDIA_TYPES, null, undefined, '']),
    ...each(at('digest'), NOT_DIGESTS),
    ...each(at('size'), NOT_SIZES),
    ...each(at('artifactType'), NOT_MEDIA_TYPES),
    ...each(at('annotations'), NOT_OBJECTS),
    ...each(at('annotations'), [{ 'a.b': 1 }, { 'a.b': null }, { 'a.b': ['x'] }], placeOf(at('annotations', 'a.b'))),
    ...each(at('urls'), NOT_ARRAYS),
    ...each(at('urls'), [['https://example.com', 1]], placeOf(at('urls', 1))),
    ...each(at('platform'), NOT_OBJECTS),
    ...each(
      at('platform'),
      NOT_STRINGS.map((os) => ({ architecture: 'amd64', os })),
      placeOf(at('platform', 'os')),
    ),
    ...each(at('platform'), [{ 'os.features': ['a', 1] }], placeOf(at('platform', 'os.features', 1))),
    ...each(at('data'), [...NOT_STRINGS, 'a', 'YQ', 'YQ=', 'YR==', 'Y Q==', 'YQ==\n', '-_==', '%']),
    ...each(at('data'), [Buffer.from('nobody has this content').toString('base64')]),
    ...each(at('Digest'), [`sha256:${HEX}`]),
    ...each(at('SIZE'), [1]),
    ...each(at('\u017Fize'), [1]),
  ];
}

const OF_ANY: readonly Mutation[] = [
  ...each(['schemaVersion'], [undefined, null, 0, 1, 3, 2.5, '2', [2], {}, true]),
  ...each(['artifactType'], NOT_MEDIA_TYPES),
  ...each(['annotations'], NOT_OBJECTS),
  ...each(['annotations'], [{ 'a.b': 1 }, { 'a.b': null }], 'annotations["a.b"]'),
  ...each(['fsLayers'], [[], [{ blobSum: `sha256:${HEX}` }]], 'schemaVersion'),
  ...each(['mediaType'], [MEDIA_TYPES.dockerSchema1, MEDIA_TYPES.dockerSchema1Signed], 'schemaVersion'),
  ...each(['mediaType'], NOT_MEDIA_TYPES),
  ...each(['mediaType'], ['application/vnd.example+json', 'application/json']),
  ...each(['Annotations'], [{}]),
  ...each(['schemaversion'], [2]),
  ...ofDescriptor('subject'),
];

/** For an image manifest with two layers or more, sent with its own Content-Type. */
export const IMAGE_MUTATIONS: readonly Mutation[] = [
  ...OF_ANY,
  ...each(['config'], [undefined, null]),
  ...ofDescriptor('config'),
  ...each(['layers'], [...NOT_ARRAYS, undefined]),
  ...each(['layers', 1], [null]),
  ...ofDescriptor('layers', 1),
  ...each(['manifests'], [[], {}, [{}], 'x', 0]),
  ...each(['Layers'], [[]]),
  ...each(['Config'], [{}]),
  ...each(['mediaType'], [MEDIA_TYPES.imageIndex, MEDIA_TYPES.dockerManifestList]),
];

/** For an image index with two children or more, sent with its own Content-Type. */
export const INDEX_MUTATIONS: readonly Mutation[] = [
  ...OF_ANY,
  ...each(['manifests'], [...NOT_ARRAYS, undefined]),
  ...each(['manifests', 1], [null]),
  ...ofDescriptor('manifests', 1),
  ...each(['config'], [{}, 'x', false]),
  ...each(['layers'], [[], {}, 0]),
  ...each(['Manifests'], [[]]),
  ...each(['mediaType'], [MEDIA_TYPES.imageManifest, MEDIA_TYPES.dockerManifest]),
];

/** A copy of `body` with the one change. A descriptor on the way that is not there is made of `fallback`. */
export function mutated(body: unknown, { path, value }: Mutation, fallback: unknown): unknown {
  const copy: unknown = structuredClone(body);
  let parent: unknown = copy;
  for (const step of path.slice(0, -1)) {
    if (childOf(parent, step) === undefined) setChild(parent, step, structuredClone(fallback));
    parent = childOf(parent, step);
  }
  const last = path.at(-1);
  if (last === undefined) throw new Error('a mutation needs a path');
  setChild(parent, last, value);
  return copy;
}

function childOf(parent: unknown, step: Step): unknown {
  if (!isJsonObject(parent) && !Array.isArray(parent)) throw new Error(`nothing at ${step}`);
  return Reflect.get(parent, step);
}

function setChild(parent: unknown, step: Step, value: unknown): void {
  if (!isJsonObject(parent) && !Array.isArray(parent)) throw new Error(`nothing at ${step}`);
  if (value === undefined) Reflect.deleteProperty(parent, step);
  else Reflect.set(parent, step, value);
}
