import { createHash, type Hash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';
import type { HashOrder, HashReport } from './hash-thread.ts';

/*
 * The thread of hash-thread.ts. Its memory is that of the chunks it is given; what they leave behind is collected here,
 * where next to nothing else lives, instead of in the heap of the server.
 */
const hashes = new Map<number, Hash>();

parentPort?.on('message', (order: HashOrder) => {
  const report = obey(order);
  if (report !== undefined) parentPort?.postMessage(report, []);
});

function obey(order: HashOrder): HashReport | undefined {
  const { id } = order;
  if (order.algorithm !== undefined) hashes.set(id, createHash(order.algorithm));
  if (order.chunks !== undefined) {
    const hash = hashes.get(id);
    for (const chunk of order.chunks) hash?.update(chunk);
    return { id };
  }
  if (order.ask === true) {
    const hex = hashes.get(id)?.copy().digest('hex');
    return hex === undefined ? { id } : { id, hex };
  }
  if (order.end === true) hashes.delete(id);
  return undefined;
}
