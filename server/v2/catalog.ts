import { jsonReply, type Exchange, type Reply } from '../http/exchange.ts';
import { nextLink, parsePage } from '../http/paging.ts';
import type { Services } from './services.ts';

const PAGE = { limit: 1_000, max: 10_000 };

/** `_catalog`: not in the distribution-spec, but in the Docker protocol before it and in every registry. */
export async function listRepositories(services: Services, exchange: Exchange<unknown>): Promise<Reply> {
  const { limit, last } = parsePage(exchange.query, PAGE);
  const found = await services.registry.repositories.page(last, limit === 0 ? 0 : limit + 1, exchange.rights);
  const repositories = found.slice(0, limit);
  const link = nextLink('/v2/_catalog', { n: String(limit), last: repositories.at(-1) ?? '' });
  return jsonReply(200, { repositories }, found.length > limit ? { Link: link } : {});
}
