import { parseDigest } from '../../oci/digest.ts';
import { parseReference, parseRepositoryName, parseUploadId, parseWantedReference } from '../../oci/names.ts';
import type { Exchange, Reply } from './exchange.ts';

/** The parsers of the placeholders that the spec's paths have. `<upload>` stands in `<blob-push-location>`. */
const PLACEHOLDERS = {
  name: parseRepositoryName,
  digest: parseDigest,
  'tag-or-digest': (text: string, action: Action) =>
    action === 'push' ? parseReference(text) : parseWantedReference(text),
  upload: parseUploadId,
} as const;

export type Placeholder = keyof typeof PLACEHOLDERS;

/** The names between angle brackets in a path; a misspelt one is no `Placeholder` and does not compile. */
export type PlaceholdersOf<Path extends string> = Path extends `${string}<${infer Name}>${infer Rest}`
  ? Name | PlaceholdersOf<Rest>
  : never;

export type ParamsOf<Path extends string> = {
  readonly [Name in PlaceholdersOf<Path> & Placeholder]: ReturnType<(typeof PLACEHOLDERS)[Name]>;
};

/** What a request does to its repository: the words of token scopes. */
export type Action = 'pull' | 'push' | 'delete' | 'catalog' | 'none';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** A row of the table of endpoints. */
export interface Endpoint {
  /** The spec's id; a word of ours for what is not in the spec. */
  readonly id: string;
  readonly methods: readonly Method[];
  readonly path: string;
  /** Query parameters that have to be there for this row; rows with more of them stand first. */
  readonly query: readonly string[];
  readonly action: Action;
  readonly handle: (exchange: Exchange<Record<string, unknown>>) => Reply | Promise<Reply>;
}

type ValidPath<Path extends string> = [PlaceholdersOf<Path>] extends [Placeholder] ? Path : never;

/**
 * Makes a row.
 *
 * @param verb methods as the spec's table has them; `?a&b` behind them names the query parameters of the row
 */
export function endpoint<const Path extends string>(
  id: string,
  verb: string,
  path: ValidPath<Path>,
  action: Action,
  handle: (exchange: Exchange<ParamsOf<Path>>) => Reply | Promise<Reply>,
): Endpoint {
  const [methods = '', query = ''] = verb.split(' ?');
  return {
    id,
    methods: methods.split(' / ') as Method[],
    path,
    query: query === '' ? [] : query.split('&'),
    action,
    // The router makes `params` from this very path.
    handle: handle as Endpoint['handle'],
  };
}

/** @throws RegistryError of the placeholder's parser */
export function parsePlaceholder(name: string, text: string, action: Action): unknown {
  const parse = PLACEHOLDERS[name as Placeholder];
  return parse(text, action);
}
