import type { IRouter, Request } from 'express';
import { RegistryError } from '../../oci/errors.ts';
import type { Collection } from '../../registry/collection.ts';
import type { CollectionHold } from '../../storage/metadata/collection-holds.ts';
import type { Garbage } from '../../storage/metadata/collection.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';
import { guarded } from './guarded.ts';
import { isTooLarge, jsonOf, queryOf, replying, route, type ReadBody } from './routing.ts';
import { requestTask, type TasksParts } from './tasks.ts';

/** The collection, and what its reports need to know of the configuration. */
export interface CollectionParts extends TasksParts {
  readonly registry: { readonly collection: Pick<Collection, 'status' | 'page' | 'hold' | 'release'> };
  readonly collectionSettings: { readonly isOn: boolean; readonly graceMs: number; readonly undoMs: number };
  readonly readBody: ReadBody;
  readonly readOnly: { get(): Promise<boolean> };
}

const BODY_MAX_BYTES = 4096;
// Of an open registry.
const NOBODY = 'somebody';
const ID_SHOWN_MAX = 100;
const PAGE = { limit: 1_000, max: 10_000 };

/** `/api/v1/gc`: what `entrepot gc` does, for who has the right `admin`. */
export function routeCollection(api: IRouter, parts: CollectionParts): void {
  const { collection } = parts.registry;
  route(api, '/gc', {
    get: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'gc' }, async () => statusReply(parts)),
    ),
  });
  const plan = (request: Request) =>
    guarded(parts, request, { action: 'admin', subject: 'gc' }, async () => {
      const { limit, last } = parsePlanPage(queryOf(request));
      const page = await collection.page(last, limit);
      const next = page.length < limit ? undefined : page.at(-1)?.digest;
      return jsonReply(200, { garbage: page.map((each) => shown(each, parts)), ...(next !== undefined && { next }) });
    });
  route(api, '/gc/plan', { get: replying(plan) }, { get: { n: 'once', last: 'once' } });
  route(api, '/gc/run', { post: replying((request) => requestTask(parts, request, 'collect', {})) });
  route(api, '/gc/undo', { post: replying((request) => requestTask(parts, request, 'recover', {})) });
  route(api, '/gc/hold', {
    put: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'gc' }, async ({ user = NOBODY }, isAbout) => {
        const reason = parseReason(await parts.readBody(request, BODY_MAX_BYTES, () => isTooLarge(BODY_MAX_BYTES)));
        isAbout('gc: held');
        await collection.hold(reason, user);
        return statusReply(parts);
      }),
    ),
    delete: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'gc' }, async (_admission, isAbout) => {
        isAbout('gc: released');
        await collection.release();
        return statusReply(parts);
      }),
    ),
  });
  route(api, '/gc/hold/:id', {
    delete: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'gc' }, async (_admission, isAbout) => {
        const id = String(request.params['id']).slice(0, ID_SHOWN_MAX);
        const [released] = await collection.release([id]);
        if (released === undefined) throw isNoHold(id);
        isAbout(`gc: released ${released.id}`);
        return statusReply(parts);
      }),
    ),
  });
}

async function statusReply({ registry, collectionSettings, readOnly }: CollectionParts): Promise<Reply> {
  const { isOn, graceMs, undoMs } = collectionSettings;
  const { refusal, holds, ...status } = await registry.collection.status();
  const waits = refusal ?? ((await readOnly.get()) ? 'the registry is read-only' : undefined);
  const report = { enabled: isOn, graceMs, undoMs, refusal: waits, holds: holds.map(shownHold) };
  return jsonReply(200, { ...report, ...status });
}

function shownHold({ id, reason, by, since }: CollectionHold) {
  return { id, reason, by: by ?? null, since: new Date(since).toISOString() };
}

function isNoHold(id: string): RegistryError {
  const reason = 'there is no such hold: GET /api/v1/gc lists them';
  return new RegistryError('NAME_UNKNOWN', { detail: { hold: id, reason } });
}

function shown({ digest, size, since }: Garbage, { collectionSettings }: CollectionParts) {
  return { digest, size, removableFrom: new Date(since + collectionSettings.graceMs).toISOString() };
}

function parsePlanPage(query: URLSearchParams): { readonly limit: number; readonly last: string } {
  const n = query.get('n');
  const limit = n === null ? PAGE.limit : Number(n);
  if (Number.isInteger(limit) && limit >= 1 && limit <= PAGE.max) return { limit, last: query.get('last') ?? '' };
  const reason = `n is a whole number from 1 to ${PAGE.max}`;
  throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
}

function parseReason(bytes: Buffer): string {
  if (bytes.length === 0) return 'an operator wants it so';
  const body = jsonOf(bytes);
  const reason = typeof body === 'object' && body !== null && 'reason' in body ? body.reason : undefined;
  if (typeof reason === 'string' && /^\P{Cc}{1,300}$/u.test(reason)) return reason;
  const expected = 'the body is empty, or {"reason": "why the collection has to wait"} of at most 300 characters';
  throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason: expected } });
}
