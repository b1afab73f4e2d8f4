import type { IRouter, Request } from 'express';
import { isPlainRepositoryPattern } from '../../config/access-words.ts';
import { RegistryError } from '../../oci/errors.ts';
import type { Registry } from '../../registry/registry.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';
import { guarded, type GuardedParts } from './guarded.ts';
import { passOn, repositoryPathOf } from './repository-path.ts';
import { queryOf, replying, route } from './routing.ts';

export interface SpaceParts extends GuardedParts {
  readonly registry: Pick<Registry, 'spaces' | 'quotas'>;
}

const PATTERNS_MAX = 100;

/**
 * `/api/v1/repositories/<name>/size`, `.../tags/<tag>/size` and `.../manifests/<digest>/size`: what something takes and
 * what deleting it would free. `/api/v1/size` says it of all repositories that patterns fit, `/api/v1/quotas` how full the
 * quotas are; both are for who has the right `admin`.
 */
export function routeSpace(api: IRouter, parts: SpaceParts): void {
  route(api, '/repositories/*name/size', {
    get: replying((request) => measure(parts, request)),
    delete: passOn,
  });
  const measureAll = (request: Request) =>
    guarded(parts, request, { action: 'admin', subject: 'size' }, async () => {
      const patterns = patternsOf(queryOf(request));
      const space = await parts.registry.spaces.measureMatching(patterns);
      return jsonReply(200, { patterns, scope: 'registry', ...space });
    });
  route(api, '/size', { get: replying(measureAll) }, { get: { repository: 'repeated' } });
  route(api, '/quotas', {
    get: replying((request) =>
      guarded(parts, request, { action: 'admin', subject: 'quotas' }, async () =>
        jsonReply(200, { quotas: await parts.registry.quotas.report() }),
      ),
    ),
  });
}

/**
 * What others have is nobody's business who may only pull from this one: then everything is said as if the others were
 * not there.
 */
async function measure(parts: SpaceParts, request: Request): Promise<Reply> {
  const { repository, tag, digest } = repositoryPathOf(request);
  const about = { action: 'pull' as const, repository, ...(tag !== undefined && { tag }) };
  return guarded(parts, request, about, async ({ isAdmin }) => {
    const scope = isAdmin ? 'registry' : 'repository';
    const space = await parts.registry.spaces.measure({ repository, tag, digest }, scope);
    const named = { ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
    return jsonReply(200, { name: repository, ...named, scope, ...space });
  });
}

function patternsOf(query: URLSearchParams): readonly string[] {
  const patterns = query.getAll('repository');
  if (patterns.length === 0) return ['**'];
  if (patterns.length <= PATTERNS_MAX && patterns.every(isPlainRepositoryPattern)) return patterns;
  const reason = `at most ${PATTERNS_MAX} times repository=PATTERN, with patterns such as team/** and at most 6 stars in each`;
  throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
}
