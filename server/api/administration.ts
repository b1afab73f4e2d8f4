import express, { type Request } from 'express';
import { RegistryError } from '../../oci/errors.ts';
import { parseRepositoryName } from '../../oci/names.ts';
import type { Registry } from '../../registry/registry.ts';
import type { Admission } from '../auth/admission.ts';
import type { AuditLog } from '../auth/audit-log.ts';
import { auditRequest, type Audited } from '../auth/audit-request.ts';
import { asRegistryError } from '../http/error-reply.ts';
import type { Reply } from '../http/exchange.ts';
import { isTooLarge, replying, route, type ReadBody } from './routing.ts';

export interface AdministrationParts {
  readonly registry: Registry;
  readonly readOnly: { get(): Promise<boolean>; set(on: boolean): Promise<void> };
  readonly readBody: ReadBody;
  /** Who sent it, and what they may do. */
  readonly admit: (request: Request, scope: string) => Promise<Admission>;
  readonly audit: AuditLog;
  readonly clientAddress: (request: Request) => string;
}

const READ_ONLY_MAX_BYTES = 1024;

/** `/api/v1`: administration. */
export function createAdministration(parts: AdministrationParts): express.Router {
  const { registry, readOnly, readBody } = parts;
  const api = express.Router({ caseSensitive: true, strict: true });
  route(api, '/repositories/*name', {
    delete: replying(async (request) => {
      // As it came: a name needs no encoding, and `params` would be decoded.
      const name = parseRepositoryName(request.path.slice('/repositories/'.length));
      return guarded(parts, request, { action: 'delete', repository: name }, async () => {
        if (await readOnly.get()) throw isReadOnly();
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
  return api;
}

type About =
  | { readonly action: 'admin'; readonly repository?: never }
  | { readonly action: 'delete'; readonly repository: ReturnType<typeof parseRepositoryName> };

/** Does what the caller may do, and tells the audit what became of it. */
async function guarded(
  parts: AdministrationParts,
  request: Request,
  { action, repository }: About,
  work: () => Promise<Reply>,
): Promise<Reply> {
  const scope = action === 'admin' ? 'registry:admin:*' : `repository:${repository}:delete`;
  const audited: Audited = {
    admission: undefined,
    action,
    touched: repository === undefined ? {} : { name: repository },
  };
  const tell = (status: number) => auditRequest(parts.audit, request, audited, { ...aboutOf(parts, request), status });
  try {
    audited.admission = await parts.admit(request, scope);
    audited.admission.require(action, repository);
    const reply = await work();
    tell(reply.status);
    return reply;
  } catch (error) {
    tell(asRegistryError(error).status);
    throw error;
  }
}

function aboutOf({ clientAddress }: AdministrationParts, request: Request) {
  return {
    requestId: String(request.res?.getHeader('X-Request-Id') ?? ''),
    remoteAddress: clientAddress(request),
  };
}

function isReadOnly(): RegistryError {
  const reason = 'the registry is read-only for now: pulls work, pushes and deletions have to wait';
  return new RegistryError('UNSUPPORTED', { detail: { reason }, headers: { Allow: 'GET, HEAD', 'Retry-After': '60' } });
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

/** Undefined for what is no JSON. */
function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
