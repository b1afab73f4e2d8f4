import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { openSqliteMetadata } from '../storage/metadata/metadata.ts';
import { actAsOwner } from './act-as-owner.ts';
import { columns, minuteOf } from './columns.ts';

/** There is nothing to plan for; the message says why. */
export class CannotPlan extends Error {
  override readonly name = 'CannotPlan';
}

const PAGE = 1_000;

/**
 * Says what nothing needs, how large it is and when it goes. Beside a running server or without one; changes nothing.
 *
 * @returns what to tell the person
 * @throws CannotPlan
 */
export async function planCollection({ storage, root, collection }: Config): Promise<string> {
  if (storage.driver === 'memory') throw new CannotPlan('a registry in memory is gone with its process');
  const file = path.join(root, '.meta', 'index.db');
  if (!existsSync(file)) throw new CannotPlan(`no registry is in ${root} yet: name its --root`);
  actAsOwner(root);
  const metadata = await openSqliteMetadata(file);
  try {
    const rows: string[][] = [];
    let bytes = 0;
    for (let after = ''; ;) {
      const page = await metadata.collection.garbage(after, PAGE);
      for (const { digest, size, since } of page) {
        bytes += size;
        rows.push([digest, String(size), minuteOf(since + collection.graceMs)]);
      }
      if (page.length < PAGE) break;
      after = page.at(-1)?.digest ?? after;
    }
    const sum = `${rows.length} blobs that nothing needs, ${bytes} bytes${collection.isOn ? '' : '; collection.enabled is false'}`;
    return rows.length === 0 ? sum : `${columns([['DIGEST', 'BYTES', 'GOES FROM (UTC)'], ...rows])}\n${sum}`;
  } finally {
    await metadata.close();
  }
}
