import type { Registry } from '../../registry/registry.ts';
import type { Rights } from '../../registry/rights.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';

const PAGE = 25;
const MAX_PAGE = 100;

/**
 * `GET /v1/_ping`: what `docker search HOST/term` asks first. A standalone registry is one that takes Basic credentials
 * for its search itself.
 */
export function pingV1(): Reply {
  return jsonReply(200, true, { 'X-Docker-Registry-Standalone': 'true', 'X-Docker-Registry-Version': '2.0' });
}

/** `GET /v1/search?q=term&n=25&page=1`, in the form that `docker search` and `podman search` read. */
export async function searchV1(registry: Registry, query: URLSearchParams, rights: Rights): Promise<Reply> {
  const term = query.get('q') ?? '';
  const size = Math.min(positive(query.get('n'), PAGE), MAX_PAGE);
  const page = positive(query.get('page'), 1);
  const { names, total } = await registry.repositories.search(wordOf(term), (page - 1) * size, size, rights);
  return jsonReply(200, {
    query: term,
    num_results: total,
    num_pages: Math.ceil(total / size),
    page,
    page_size: size,
    results: names.map((name) => ({
      name,
      description: '',
      star_count: 0,
      is_official: false,
      is_automated: false,
      is_trusted: false,
    })),
  });
}

/** Names are in lower case, and people type `library/nginx:latest` and stars. */
function wordOf(term: string): string {
  return term
    .trim()
    .toLowerCase()
    .replaceAll('*', '')
    .replace(/:[^/]*$/, '');
}

function positive(text: string | null, otherwise: number): number {
  return text !== null && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : otherwise;
}
