import { setTimeout as delay } from 'node:timers/promises';
import { openTestRegistry } from '../harness/registry.ts';
import { GRACE_MS, hesitating, ofThisProcess, Pusher, UNDO_MS, type Image } from './race-pusher.ts';
import { Random } from './random.ts';

/** What one of the processes of a race is to do until somebody kills it. */
export interface Part {
  readonly role: 'pushing' | 'collecting';
  readonly root: string;
  readonly run: string;
  readonly worker: number;
  readonly seed: string;
}

/** What it tells whoever started it. */
export type Told = { readonly acknowledged: Image } | { readonly deleting: Image } | { readonly removed: number };

const PUSHERS = 4;

const part = JSON.parse(process.argv[2] ?? '') as Part;
const opened = await openTestRegistry({ ...part, settings: { collectionGraceMs: GRACE_MS, undoMs: UNDO_MS } });
hesitating(opened.metadata, new Random(part.seed), part.role === 'pushing' ? 5 : 20);
process.on('disconnect', () => process.exit(1));
await (part.role === 'pushing' ? push() : collect());

/** Resolves when it is on its way, and arrives whatever becomes of this process. */
function tell(told: Told): Promise<void> {
  return new Promise((resolve, reject) => {
    process.send?.(told, undefined, {}, (error) => (error === null ? resolve() : reject(error)));
  });
}

async function push(): Promise<void> {
  const ledger = new Map<string, Image>();
  const telling = {
    acknowledged: (image: Image) => tell({ acknowledged: image }),
    deleting: (image: Image) => tell({ deleting: image }),
  };
  const pushers = Array.from({ length: PUSHERS }, (_, index) => {
    const label = `pusher-${index}-of-${part.worker}`;
    return new Pusher(ofThisProcess(opened), new Random(`${part.seed} ${index}`), ledger, label, telling);
  });
  await Promise.all(
    pushers.map(async (pusher) => {
      for (;;) await pusher.step();
    }),
  );
}

async function collect(): Promise<void> {
  for (;;) {
    await opened.registry.undo.expire();
    const collected = await opened.registry.collection.run(async () => true);
    if (typeof collected !== 'string' && collected.removed > 0) await tell({ removed: collected.removed });
    await opened.registry.maintenance.verifyDoubted(async () => {});
    await delay(1);
  }
}
