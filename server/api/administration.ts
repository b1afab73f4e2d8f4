import express from 'express';
import { RegistryError } from '../../oci/errors.ts';
import { parseRepositoryName } from '../../oci/names.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Reply } from '../http/exchange.ts';
import { routeAccounts, type AccountsParts } from './accounts.ts';
import { routeCollection, type CollectionParts } from './collection.ts';
import { guarded } from './guarded.ts';
import { routeRetention } from './retention.ts';
import { routeIntegrity } from './integrity.ts';
import { isTooLarge, jsonOf, replying, route } from './routing.ts';
import { routeSpace } from './space.ts';
import { routeTasks } from './tasks.ts';
import { routeUndo } from './undo.ts';

export interface AdministrationParts extends AccountsParts, CollectionParts {
  readonly registry: Registry;
  readonly readOnly: { get(): Promise<boolean>; set(on: boolean): Promise<void> };
}

const READ_ONLY_MAX_BYTES = 1024;

/** `/api/v1`: administration. */
export function createAdministration(parts: AdministrationParts): express.Router {
  const { registry, readOnly, readBody } = parts;
  const api = express.Router({ caseSensitive: true, strict: true });
  const requireWritable = async () => {
    if (await readOnly.get()) throw isReadOnly();
  };
  routeUndo(api, { ...parts, requireWritable });
  routeSpace(api, parts);
  route(api, '/repositories/*name', {
    delete: replying(async (request) => {
      // As it came: a name needs no encoding, and `params` would be decoded.
      const name = parseRepositoryName(request.path.slice('/repositories/'.length));
      return guarded(parts, request, { action: 'delete', repository: name }, async () => {
        await requireWritable();
        await registry.repositories.delete(name);
        return { status: 204 };
      });
    }),
  });
  route(api, '/read-only', {
    get: replying((request) =>
      guarded(parts, request, { action: 'admin' }, async () => readOnlyReply(await readOnly.get())),
    ),
    put: replying((request) =>
      guarded(parts, request, { action: 'admin' }, async () => {
        const body = await readBody(request, READ_ONLY_MAX_BYTES, () => isTooLarge(READ_ONLY_MAX_BYTES));
        await readOnly.set(parseReadOnly(body));
        return readOnlyReply(await readOnly.get());
      }),
    ),
  });
  routeAccounts(api, parts);
  routeTasks(api, parts);
  routeCollection(api, parts);
  routeRetention(api, parts);
  routeIntegrity(api, parts);
  return api;
}

function isReadOnly(): RegistryError {
  const reason = 'the registry is read-only for now: pulls work, pushes and deletions have to wait';
  return new RegistryError('UNSUPPORTED', {
    message: reason,
    detail: { reason },
    headers: { Allow: 'GET, HEAD', 'Retry-After': '60' },
  });
}

function readOnlyReply(isOn: boolean): Reply {
  return { status: 200, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ readOnly: isOn }) };
}

function parseReadOnly(bytes: Buffer): boolean {
  const body = jsonOf(bytes);
  if (typeof body === 'object' && body !== null && 'readOnly' in body && typeof body.readOnly === 'boolean') {
    return body.readOnly;
  }
  const reason = 'the body is {"readOnly": true} or {"readOnly": false}';
  throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
}
