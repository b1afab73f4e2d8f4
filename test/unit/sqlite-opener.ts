import { parentPort, workerData } from 'node:worker_threads';
import { openSqlite } from '../../storage/metadata/sqlite.ts';

/* A thread that opens a database when its gate opens, and says how that went. */

const { gate, file } = workerData as { readonly gate: SharedArrayBuffer; readonly file: string };
parentPort?.postMessage('ready', []);
Atomics.wait(new Int32Array(gate), 0, 0);
try {
  await openSqlite(file).close();
  parentPort?.postMessage('opened', []);
} catch (error) {
  parentPort?.postMessage(String(error), []);
}
