import type { RepositoryName } from '../../oci/names.ts';
import { jsonReply, type Exchange, type Reply } from '../http/exchange.ts';
import { nextLink, parsePage } from '../http/paging.ts';
import type { Services } from './services.ts';

const PAGE = { limit: 10_000, max: 10_000 };

/** end-8a, end-8b. */
export async function listTags(services: Services, exchange: Exchange<{ name: RepositoryName }>): Promise<Reply> {
  const { name } = exchange.params;
  const { limit, last } = parsePage(exchange.query, PAGE);
  // One more than wanted tells whether there is a next page.
  const found = await services.registry.tags.page(name, last, limit === 0 ? 0 : limit + 1);
  const tags = found.slice(0, limit);
  const link = nextLink(`/v2/${name}/tags/list`, { n: String(limit), last: tags.at(-1) ?? '' });
  return jsonReply(200, { name, tags }, found.length > limit ? { Link: link } : {});
}
