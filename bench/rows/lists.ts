import { tagNames, tagsRepository, type Part } from '../data-set.ts';
import { readRow, type Row } from './row.ts';

/** One for each core: lists are slow enough that a round of more would end within most of them. */
const CONNECTIONS = 2;
const PAGE = 1000;

/**
 * Whole lists, in pages of a thousand that are followed by their `Link`. A registry that does not page (Distribution
 * 2.8 answers `n` with everything) needs one request for the same list.
 */
export const LIST_ROWS: readonly Row[] = [
  listRow('tags-list-1000', 'tags-1000', `/v2/${tagsRepository(1000)}/tags/list?n=1000`),
  listRow('tags-list-10000', 'tags-10000', `/v2/${tagsRepository(10_000)}/tags/list?n=1000`),
  pageRow(),
  listRow('catalog-1000', 'catalog', '/v2/_catalog?n=1000'),
];

function listRow(id: string, part: Part, target: string): Row {
  return readRow(
    { id, unit: 'lists/s', isQuick: part !== 'tags-10000', needs: [part] },
    async ({ tools }, { running }, seconds) => {
      const request = { host: running.host, plan: [target], connections: CONNECTIONS, seconds };
      const { jobs, seconds: took } = await tools.load.run('list', request);
      if (jobs === 0) throw new Error(`no list of ${target} was read to its end in ${took} s`);
      return { value: jobs / took, requests: jobs };
    },
  );
}

/** The ten pages of the large list, asked for in turn: one answer is one page, or all tags where `n` is ignored. */
function pageRow(): Row {
  const count = 10_000;
  const names = tagNames(count).sort();
  const plan = Array.from({ length: count / PAGE }, (_, page) => {
    const last = page === 0 ? '' : `&last=${names[page * PAGE - 1]}`;
    return `/v2/${tagsRepository(count)}/tags/list?n=${PAGE}${last}`;
  });
  const row = { id: `tags-page-${count}`, unit: 'pages/s', isQuick: false, needs: ['tags-10000'] as const };
  return readRow(row, async ({ tools }, { running }, seconds) => {
    const result = await tools.load.run('get', { host: running.host, plan, connections: CONNECTIONS, seconds });
    return { value: result.jobs / result.seconds, requests: result.jobs };
  });
}
