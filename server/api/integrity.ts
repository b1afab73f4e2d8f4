import type { IRouter, Request } from 'express';
import type { Integrity } from '../../registry/integrity.ts';
import { jsonReply } from '../http/exchange.ts';
import { RegistryError } from '../../oci/errors.ts';
import { guarded } from './guarded.ts';
import { queryOf, replying, route } from './routing.ts';
import { requestTask, type TasksParts } from './tasks.ts';

export interface IntegrityParts extends TasksParts {
  readonly registry: { readonly integrity: Pick<Integrity, 'scrubStatus'> };
}

/** `/api/v1/integrity`: whether everything is whole, for who has the right `admin`. */
export function routeIntegrity(api: IRouter, parts: IntegrityParts): void {
  route(api, '/integrity', {
    get: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'integrity' }, async () =>
        jsonReply(200, await parts.registry.integrity.scrubStatus()),
      ),
    ),
  });
  const fsck = async (request: Request) => requestTask(parts, request, 'fsck', argumentOf(queryOf(request)));
  route(api, '/integrity/fsck', { post: replying(fsck) }, { post: { repair: 'once', quick: 'once' } });
}

function argumentOf(query: URLSearchParams): Readonly<Record<string, boolean>> {
  const wordOf = (name: string) => {
    const value = query.get(name) ?? 'false';
    if (value === 'true' || value === 'false') return value === 'true';
    const reason = `${name} is true or false`;
    throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
  };
  return { repair: wordOf('repair'), quick: wordOf('quick') };
}
