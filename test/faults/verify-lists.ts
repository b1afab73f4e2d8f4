import type { Client } from './client.ts';
import type { Ledger } from './ledger.ts';
import type { Verdict } from './verdict.ts';

/** Compares the lists with what single requests found: call it when every register is settled. */
export async function verifyLists(client: Client, ledger: Ledger, verdict: Verdict): Promise<void> {
  const listed = new Set(await readList(client, '/v2/_catalog?n=100', 'repositories'));
  for (const repository of ledger.repositories()) {
    const isUsed = ledger.present('manifest', repository).length > 0;
    if (isUsed && !listed.has(repository)) verdict.lost.push(`${repository} is not in the catalog`);
    if (isUsed) await verifyTags(client, ledger, verdict, repository);
  }
  for (const repository of listed) {
    if (!ledger.repositories().has(repository))
      verdict.wrong.push(`the catalog lists ${repository}, which nobody made`);
  }
}

async function verifyTags(client: Client, ledger: Ledger, verdict: Verdict, repository: string): Promise<void> {
  const expected = ledger.present('tag', repository).map(({ name }) => name);
  const listed = await readList(client, `/v2/${repository}/tags/list?n=100`, 'tags');
  verdict.checked += 1;
  for (const tag of expected.filter((each) => !listed.includes(each))) {
    if (await isAgreed(client, ledger, repository, tag, 404)) continue;
    verdict.lost.push(`${repository}:${tag} is not in the list`);
  }
  for (const tag of listed.filter((each) => !expected.includes(each))) {
    if (await isAgreed(client, ledger, repository, tag, 200)) continue;
    verdict.wrong.push(`tags/list of ${repository} has ${tag}, which cannot be read`);
  }
}

/** Whether a write that was pending has taken effect between the look at the tag and the look at the list. */
async function isAgreed(client: Client, ledger: Ledger, repository: string, tag: string, status: number) {
  if (ledger.entry('tag', repository, tag).register.isSettled) return false;
  return (await client.send('GET', `/v2/${repository}/manifests/${tag}`)).status === status;
}

async function readList(client: Client, first: string, field: string): Promise<readonly string[]> {
  const items: string[] = [];
  for (let target: string | undefined = first; target !== undefined;) {
    const { status, headers, body } = await client.send('GET', target);
    if (status === 404) break;
    if (status !== 200) throw new Error(`GET ${target} answered ${status}: ${body.toString()}`);
    items.push(...((JSON.parse(body.toString()) as Record<string, string[] | null>)[field] ?? []));
    const link = headers['link'];
    target = /<([^>]+)>/.exec(typeof link === 'string' ? link : '')?.[1];
  }
  return items;
}
