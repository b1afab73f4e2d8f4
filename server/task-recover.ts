import path from 'node:path';
import type { Config } from '../config/config.ts';
import { algorithmOf, isDigest, parseDigest, type Digest } from '../oci/digest.ts';
import { digestOfReader } from '../registry/hashing.ts';
import { openReader } from '../storage/blobs/file-reader.ts';
import { listTrash, takeFromTrash, trashPath, type TrashEntry } from '../storage/blobs/trash.ts';
import { blobDirectoryKey, blobKey } from '../storage/layout.ts';
import type { OpenRegistry } from './open-registry.ts';
import { createReadOnly } from './read-only.ts';
import { TaskRefused, type Task, type TaskReport } from './tasks.ts';

/**
 * `gc undo`: brings back the blobs that lie in the trash, or those of `{digests}`. Says `recovered`, the `bytes` of these,
 * how many repositories are `linked` to them again, and what is `damaged`.
 */
export function recoverTask(config: Config, opened: OpenRegistry): Task {
  return async ({ digests = [] }, { breathe, report }) => {
    if (await createReadOnly(opened.metadata.state, config.readOnly).get()) {
      throw new TaskRefused('the registry is read-only: entrepot read-only off');
    }
    const wanted = wantedDigests(digests);
    const found = new Set<Digest>();
    const done = { recovered: 0, bytes: 0, linked: 0, damaged: [] as Digest[] };
    for (const entry of await listTrash(config.root)) {
      await breathe();
      const digest = digestOf(entry);
      if (digest === undefined || (wanted.size > 0 && !wanted.has(digest))) continue;
      found.add(digest);
      await recoverOne(config.root, opened, { entry, digest }, done);
      report({ ...done, damaged: done.damaged.length });
    }
    const missing = [...wanted].filter((digest) => !found.has(digest));
    if (missing.length > 0) {
      throw new TaskRefused(`not in the trash, where what was deleted stays for a day: ${missing.join(', ')}`);
    }
    return done satisfies TaskReport;
  };
}

interface Sum {
  recovered: number;
  bytes: number;
  linked: number;
  damaged: Digest[];
}

async function recoverOne(
  root: string,
  { registry, driver }: OpenRegistry,
  { entry, digest }: { readonly entry: TrashEntry; readonly digest: Digest },
  sum: Sum,
): Promise<void> {
  // A directory of a link has the same name, and no bytes.
  const reader = openReader(path.join(trashPath(root, entry), 'data'));
  if (reader === undefined) return;
  const { size } = reader;
  if ((await driver.stat(blobKey(digest))) !== undefined) {
    await reader.close();
    return;
  }
  if ((await digestOfReader(algorithmOf(digest), reader)) !== digest) {
    sum.damaged.push(digest);
    return;
  }
  const place = async () => {
    if (!(await takeFromTrash(root, entry, blobDirectoryKey(digest)))) return false;
    // Its day may have been over: what is being taken out of the trash comes without its bytes.
    return (await driver.stat(blobKey(digest)))?.size === size;
  };
  const recovered = await registry.recovery.recover({ digest, size }, place);
  if (recovered === 'not needed') return;
  sum.recovered += 1;
  sum.bytes += size;
  sum.linked += recovered.linked;
}

/** A blob's directory is called by the hex of its digest. */
function digestOf({ formerName = '' }: TrashEntry): Digest | undefined {
  const text = `${formerName.length === 128 ? 'sha512' : 'sha256'}:${formerName}`;
  return isDigest(text) ? text : undefined;
}

function wantedDigests(digests: unknown): ReadonlySet<Digest> {
  if (!Array.isArray(digests)) throw new TaskRefused('digests is a list');
  const wrong = digests.find((digest) => typeof digest !== 'string' || !isDigest(digest)) as unknown;
  if (wrong !== undefined) throw new TaskRefused(`${JSON.stringify(wrong)} is no digest, such as sha256:...`);
  return new Set(digests.map((digest) => parseDigest(String(digest))));
}
