import { existsSync } from 'node:fs';
import path from 'node:path';
import type { Config } from '../config/config.ts';
import { openSqliteMetadata, type Metadata } from '../storage/metadata/metadata.ts';
import { actAsOwner } from './act-as-owner.ts';
import { columns, minuteOf } from './columns.ts';

/** There is nothing to plan for; the message says why. */
export class CannotPlan extends Error {
  override readonly name = 'CannotPlan';
}

const PAGE = 1_000;

/**
 * Lets the collection of a store wait for an operator, or go on.
 *
 * @returns what to tell the person
 * @throws CannotPlan
 */
export async function holdCollection(config: Config, verb: 'hold' | 'release'): Promise<string> {
  return withIndex(config, async (metadata) => {
    const { collection } = metadata;
    if (verb === 'release') await collection.release();
    else await metadata.write('durable', (tx) => collection.hold(tx, 'an operator wants it so'));
    const held = await collection.heldBecause();
    return held === undefined ? 'garbage is collected again' : `no garbage is collected: ${held}`;
  });
}

/**
 * Says what nothing needs, how large it is and when it goes. Beside a running server or without one; changes nothing.
 *
 * @returns what to tell the person
 * @throws CannotPlan
 */
export async function planCollection(config: Config): Promise<string> {
  const { isOn, graceMs } = config.collection;
  return withIndex(config, async ({ collection }) => {
    const rows: string[][] = [];
    let bytes = 0;
    for (let after = ''; ;) {
      const page = await collection.garbage(after, PAGE);
      for (const { digest, size, since } of page) {
        bytes += size;
        rows.push([digest, String(size), minuteOf(since + graceMs)]);
      }
      if (page.length < PAGE) break;
      after = page.at(-1)?.digest ?? after;
    }
    const held = await collection.heldBecause();
    const notes = [
      ...(isOn ? [] : ['nothing is removed: collection.enabled is false']),
      ...(held === undefined ? [] : [`nothing is removed: ${held}; look at it, then: entrepot gc release`]),
    ];
    const sum = `${rows.length} ${rows.length === 1 ? 'blob' : 'blobs'} that nothing needs, ${bytes} bytes`;
    const table = rows.length === 0 ? [] : [columns([['DIGEST', 'BYTES', 'GOES FROM (UTC)'], ...rows])];
    return [...table, sum, ...notes].join('\n');
  });
}

async function withIndex<T>({ storage, root }: Config, use: (metadata: Metadata) => Promise<T>): Promise<T> {
  if (storage.driver === 'memory') throw new CannotPlan('a registry in memory is gone with its process');
  const file = path.join(root, '.meta', 'index.db');
  if (!existsSync(file)) throw new CannotPlan(`no registry is in ${root} yet: name its --root`);
  actAsOwner(root);
  const metadata = await openSqliteMetadata(file);
  try {
    return await use(metadata);
  } finally {
    await metadata.close();
  }
}
