import { describe, it } from 'node:test';
import { temporaryDirectory } from '../harness/process.ts';
import { CrashedStore } from './crashed-store.ts';

const ROUNDS = Number(process.env['ENTREPOT_TEST_CRASH_ROUNDS'] ?? 100);
const SEED = process.env['ENTREPOT_TEST_SEED'] ?? String(Date.now());

describe('kill -9 during concurrent pushes', { skip: ROUNDS < 1 && 'ENTREPOT_TEST_CRASH_ROUNDS is 0' }, () => {
  it(`keeps what it acknowledged over ${ROUNDS} crashes and shows nothing by halves`, async (t) => {
    await using directory = await temporaryDirectory('entrepot-crash-');
    const store = new CrashedStore(directory.path, SEED);
    for (let round = 1; round <= ROUNDS; round++) await store.crash(`${SEED} round ${round}`);
    await store.verifyAll();
    store.tell(t);
    store.assertStrong();
  });
});
