import { readdirSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createGauge, type Instrument, type MetricFamily } from './instruments.ts';

/**
 * What every process tells of itself, under the names that every Prometheus client uses.
 *
 * Less than prom-client's default metrics: those cost each worker the loading of prom-client, and a scrape 2 to 4 ms.
 */
export function processInstruments(): readonly Instrument[] {
  return [
    { family: cpuSeconds },
    createGauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory, added up over the processes.',
      read: () => process.memoryUsage.rss(),
    }),
    createGauge({
      name: 'process_heap_bytes',
      help: 'Memory that the JavaScript heap uses, added up over the processes.',
      read: () => process.memoryUsage().heapUsed,
    }),
    createGauge({
      name: 'process_open_fds',
      help: 'Open file descriptors, added up over the processes.',
      read: openDescriptors,
    }),
    createGauge({
      name: 'process_start_time_seconds',
      help: 'When the oldest process started, in seconds since 1970.',
      aggregator: 'min',
      read: () => Math.round(performance.timeOrigin) / 1000,
    }),
    createGauge({ name: 'entrepot_processes', help: 'Processes that answered this scrape.', read: () => 1 }),
  ];
}

function cpuSeconds(): MetricFamily {
  const { user, system } = process.cpuUsage();
  return {
    name: 'process_cpu_seconds_total',
    help: 'CPU time spent, added up over the processes.',
    type: 'counter',
    aggregator: 'sum',
    values: [
      { value: user / 1e6, labels: { mode: 'user' } },
      { value: system / 1e6, labels: { mode: 'system' } },
    ],
  };
}

function openDescriptors(): number | undefined {
  if (process.platform !== 'linux') return undefined;
  // One of them is the directory that is being read.
  return readdirSync('/proc/self/fd').length - 1;
}

const RESOLUTION_MS = 20;
const QUANTILES = [0.5, 0.9, 0.99, 1] as const;

/** How late the event loop came to a timer since the last scrape; of several processes the latest. */
export function createEventLoopDelay(): Instrument & Disposable {
  const histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  histogram.enable();
  const family = (): MetricFamily => {
    const values = QUANTILES.map((quantile) => ({
      value: histogram.count === 0 ? 0 : delaySeconds(histogram.percentile(quantile * 100)),
      labels: { quantile: String(quantile) },
    }));
    histogram.reset();
    return {
      name: 'entrepot_event_loop_delay_seconds',
      help: 'How late the event loop was since the last scrape; the worst of the processes.',
      type: 'gauge',
      aggregator: 'max',
      values,
    };
  };
  return { family, [Symbol.dispose]: () => histogram.disable() };
}

// Node records the time between two ticks of its timer, not by how much the second was late.
function delaySeconds(nanoseconds: number): number {
  return Math.max(0, Math.round(nanoseconds / 1e3) / 1e6 - RESOLUTION_MS / 1e3);
}
