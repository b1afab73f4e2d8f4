import { setTimeout as delay } from 'node:timers/promises';

// What is not in a hurry may have so much of a processor: a twelfth, beside what it waits for.
const REST = 12;
const REST_MAX_MS = 25;
// Nothing is known of the first step.
const FIRST_COST_MS = 0.5;
// A step that looks dearer than those before it was mixed with requests, most of the time.
const GROWTH = 1.05;

export interface PaceOptions {
  readonly wait?: (ms: number) => Promise<unknown>;
  /** Processor time of this process in microseconds, that of all its threads. */
  readonly cpuMicroseconds?: () => number;
}

/**
 * Lets long work in the background rest after each of its steps, longer than the step took the processor: whoever serves
 * beside it, in this process or in another, is hardly slower for it.
 *
 * A process that serves as well cannot tell the time of the step from that of the requests in between. So the cheapest of
 * the latest steps counts; and while requests take all the time, the rests become as long as they can be.
 *
 * @returns to be awaited after each step
 */
export function createPace({ wait = delay, cpuMicroseconds = usedByProcess }: PaceOptions = {}): () => Promise<void> {
  let costMs = FIRST_COST_MS;
  let last = cpuMicroseconds();
  return async () => {
    const usedMs = (cpuMicroseconds() - last) / 1000;
    costMs = Math.min(usedMs, costMs * GROWTH + 0.01);
    await wait(Math.min(costMs * REST, REST_MAX_MS));
    last = cpuMicroseconds();
  };
}

function usedByProcess(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
