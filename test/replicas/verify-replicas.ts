import { Client } from '../faults/client.ts';
import type { Ledger } from '../faults/ledger.ts';
import { addVerdict, emptyVerdict, type Verdict } from '../faults/verdict.ts';
import { TreeVerifier } from '../faults/verify-tree.ts';
import { verifyRegistry } from '../faults/verify.ts';
import type { Replicas } from '../scale/replicas.ts';
import { bucketFiles } from './bucket-files.ts';

/**
 * Looks at everything while nobody writes: what was acknowledged is there through each server, the same through all; the
 * tree in the bucket is whole; and its tags are those that the servers tell of, which is what their index says.
 */
export async function verifyReplicas(
  { members, s3 }: Pick<Replicas, 'members' | 's3'>,
  ledger: Ledger,
): Promise<Verdict> {
  const sum = emptyVerdict();
  for (const { url } of members) {
    using client = new Client(url);
    // What the first one shows is what all others have to show.
    addVerdict(sum, await verifyRegistry(client, ledger, 'all'));
  }
  using files = bucketFiles(s3.options);
  const tree = new TreeVerifier(files);
  addVerdict(sum, await tree.verify('all'));
  addVerdict(sum, compareTags(await tree.tags(), ledger));
  return sum;
}

/** Every tag was read and settled before. */
function compareTags(inTree: ReadonlyMap<string, string>, ledger: Ledger): Verdict {
  const verdict = emptyVerdict();
  const told = new Map<string, string>();
  for (const { kind, repository, name, register } of ledger.entries()) {
    const digest = kind === 'tag' ? register.certain() : undefined;
    if (digest !== undefined) told.set(`${repository}:${name}`, digest);
  }
  for (const name of new Set([...inTree.keys(), ...told.keys()])) {
    verdict.checked += 1;
    const [link, digest] = [inTree.get(name), told.get(name)];
    if (link === digest) continue;
    verdict.wrong.push(`${name} is ${link ?? 'nothing'} in the bucket, ${digest ?? 'nothing'} in the index`);
  }
  return verdict;
}
