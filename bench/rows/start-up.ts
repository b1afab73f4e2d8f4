import { setTimeout } from 'node:timers/promises';
import { measured } from '../measure.ts';
import { MIB } from '../data-set.ts';
import { memory } from '../process-tree.ts';
import type { Running } from '../registries.ts';
import type { Row } from './row.ts';

const IDLE_AFTER_MS = 2000;

/** From the spawn to the first answer on an empty directory, and what it takes when nothing has happened since. */
export const START_UP_ROWS: readonly Row[] = [
  {
    id: 'start-up-time',
    unit: 'ms',
    better: 'lower',
    isHeavy: false,
    isQuick: true,
    needs: [],
    sample: (side) =>
      side.withFresh(
        (running) => Promise.resolve({ value: running.startMs, requests: 0, usage: undefined }),
        'removed',
      ),
  },
  {
    id: 'start-up-idle-memory',
    unit: 'MiB',
    better: 'lower',
    isHeavy: false,
    isQuick: true,
    needs: [],
    sample: (side) => side.withFresh(idle, 'removed'),
  },
];

async function idle(running: Running) {
  const { usage } = await measured(running.pid, () => setTimeout(IDLE_AFTER_MS));
  const value = running.pid === undefined ? Number.NaN : memory(running.pid).bytes / MIB;
  return { value, requests: 0, usage };
}
