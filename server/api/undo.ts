import type { IRouter, Request } from 'express';
import { isDigest, type Digest } from '../../oci/digest.ts';
import type { Registry } from '../../registry/registry.ts';
import { preconditionOf } from '../http/conditions.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';
import { shownChange } from '../shown-history.ts';
import { guarded, type GuardedParts } from './guarded.ts';
import { passOn, tagPathOf } from './repository-path.ts';
import { isMalformed, isTooLarge, jsonOf, queryOf, replying, route, type ReadBody } from './routing.ts';

export interface UndoParts extends GuardedParts {
  readonly registry: Pick<Registry, 'undo'>;
  readonly readBody: ReadBody;
  /** @throws RegistryError when no changes are taken */
  readonly requireWritable: () => Promise<void>;
}

const BODY_MAX_BYTES = 1024;
const CHANGES_DEFAULT = 100;
const CHANGES_MAX = 1_000;

/** `/api/v1/repositories/<name>/tags/<tag>/history` and `/restore`: what a tag was, and how it becomes that again. */
export function routeUndo(api: IRouter, parts: UndoParts): void {
  route(
    api,
    '/repositories/*name/tags/:tag/history',
    { get: replying((request) => showHistory(parts, request)), delete: passOn },
    { get: { n: 'once', last: 'once' } },
  );
  route(api, '/repositories/*name/tags/:tag/restore', {
    post: replying((request) => restore(parts, request)),
    delete: passOn,
  });
}

async function showHistory(parts: UndoParts, request: Request): Promise<Reply> {
  const { repository, tag } = tagPathOf(request);
  return guarded(parts, request, { action: 'pull', repository, tag }, async () => {
    const query = queryOf(request);
    const limit = numberOf(query, 'n', CHANGES_MAX) ?? CHANGES_DEFAULT;
    const before = numberOf(query, 'last', Number.MAX_SAFE_INTEGER);
    const { changes, next } = await parts.registry.undo.history(repository, tag, { before, limit });
    return jsonReply(200, { name: repository, tag, changes: changes.map(shownChange), next: next ?? null });
  });
}

async function restore(parts: UndoParts, request: Request): Promise<Reply> {
  const { repository, tag } = tagPathOf(request);
  return guarded(parts, request, { action: 'push', repository, tag }, async (rights) => {
    await parts.requireWritable();
    const body = await parts.readBody(request, BODY_MAX_BYTES, () => isTooLarge(BODY_MAX_BYTES));
    const { digest, previous, manifests } = await parts.registry.undo.restore({
      name: repository,
      tag,
      digest: parseBody(body),
      rights,
      precondition: preconditionOf(request.headers),
    });
    return jsonReply(200, { name: repository, tag, digest, previous: previous ?? null, manifests });
  });
}

function numberOf(query: URLSearchParams, name: string, max: number): number | undefined {
  const text = query.get(name);
  if (text === null) return undefined;
  const number = /^\d{1,16}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= max) return number;
  throw isMalformed(`${name} is a number from 1 to ${max}`);
}

/** An empty body asks for what the tag was before its last change. */
function parseBody(bytes: Buffer): Digest | undefined {
  if (bytes.length === 0) return undefined;
  const body = jsonOf(bytes);
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) {
    const { digest, ...others } = body as { digest?: unknown };
    const isKnown = Object.keys(others).length === 0;
    if (isKnown && digest === undefined) return undefined;
    if (isKnown && typeof digest === 'string' && isDigest(digest)) return digest;
  }
  throw isMalformed('the body is empty, or {"digest": "sha256:..."} with a digest of the history');
}
