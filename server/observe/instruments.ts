/**
 * Counting for the hot path, in the shape that prom-client adds up and prints.
 *
 * prom-client itself is loaded by the primary at the first scrape only: it takes 35 to 350 ms to load, and its bound
 * counters and histograms 0.5 us a request where these take 0.1.
 */

export type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly value: number;
  readonly labels: Labels;
  /** The family's name plus `_bucket`, `_sum` or `_count`, for histograms. */
  readonly metricName?: string;
}

/** One metric with all its samples: what prom-client's `getMetricsAsJSON` returns. Plain JSON. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  /** How the values of several processes become one. */
  readonly aggregator: 'sum' | 'max' | 'min';
  readonly values: readonly Sample[];
}

export interface Instrument {
  family(): MetricFamily | Promise<MetricFamily>;
}

/** One labelled value; counting is `cell.value += n`. */
export interface Cell {
  value: number;
}

/** The children of one instrument, one for each combination of label values that occurred. */
class Children<Child> {
  readonly #labelNames: readonly string[];
  readonly #make: () => Child;
  readonly #byValues = new Map<string, readonly [Labels, Child]>();

  constructor(labelNames: readonly string[], make: () => Child) {
    this.#labelNames = labelNames;
    this.#make = make;
  }

  of(values: readonly string[]): Child {
    const key = values.join('\n');
    const known = this.#byValues.get(key);
    if (known !== undefined) return known[1];
    const labels = Object.fromEntries(this.#labelNames.map((name, i) => [name, values[i] ?? '']));
    const child = this.#make();
    this.#byValues.set(key, [labels, child]);
    return child;
  }

  all(): Iterable<readonly [Labels, Child]> {
    return this.#byValues.values();
  }
}

export interface InstrumentOptions {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

/** Only ever grows. */
export class Counter implements Instrument {
  readonly #options: InstrumentOptions;
  readonly #children: Children<Cell>;

  constructor(options: InstrumentOptions) {
    this.#options = options;
    this.#children = new Children(options.labels ?? [], () => ({ value: 0 }));
  }

  /** The cell of these label values, in the order of the names. Keep it where it is counted often. */
  of(...values: readonly string[]): Cell {
    return this.#children.of(values);
  }

  family(): MetricFamily {
    const { name, help } = this.#options;
    const values = Array.from(this.#children.all(), ([labels, cell]) => ({ value: cell.value, labels }));
    return { name, help, type: 'counter', aggregator: 'sum', values };
  }
}

export interface HistogramOptions extends InstrumentOptions {
  /** Upper bounds, growing, without the infinite one. */
  readonly buckets: readonly number[];
}

export class Histogram implements Instrument {
  readonly #options: HistogramOptions;
  readonly #children: Children<Distribution>;

  constructor(options: HistogramOptions) {
    this.#options = options;
    this.#children = new Children(options.labels ?? [], () => new Distribution(options.buckets));
  }

  of(...values: readonly string[]): Distribution {
    return this.#children.of(values);
  }

  family(): MetricFamily {
    const { name, help } = this.#options;
    const values = Array.from(this.#children.all(), ([labels, distribution]) => distribution.samples(name, labels));
    return { name, help, type: 'histogram', aggregator: 'sum', values: values.flat() };
  }
}

/** How often which values occurred. */
export class Distribution {
  readonly #buckets: readonly number[];
  /** Not cumulated, the last one for what lies above all bounds. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(buckets: readonly number[]) {
    this.#buckets = buckets;
    this.#counts = new Float64Array(buckets.length + 1);
  }

  observe(value: number): void {
    const buckets = this.#buckets;
    let i = 0;
    while (i < buckets.length && value > (buckets[i] ?? Infinity)) i++;
    this.#counts[i] = (this.#counts[i] ?? 0) + 1;
    this.#sum += value;
  }

  samples(name: string, labels: Labels): Sample[] {
    let count = 0;
    const samples = Array.from(this.#counts, (here, i): Sample => {
      count += here;
      return {
        value: count,
        labels: { le: String(this.#buckets[i] ?? '+Inf'), ...labels },
        metricName: `${name}_bucket`,
      };
    });
    samples.push({ value: this.#sum, labels, metricName: `${name}_sum` });
    samples.push({ value: count, labels, metricName: `${name}_count` });
    return samples;
  }
}

export interface GaugeOptions {
  readonly name: string;
  readonly help: string;
  readonly aggregator?: MetricFamily['aggregator'];
  /** Asked at every scrape. A failure or undefined leaves the metric out. */
  readonly read: () => number | undefined | Promise<number | undefined>;
}

/** A value that is looked up when somebody asks for it. */
export function createGauge(options: GaugeOptions): Instrument {
  const { name, help, aggregator = 'sum', read } = options;
  const current = async (): Promise<readonly Sample[]> => {
    try {
      const value = await read();
      return value === undefined ? [] : [{ value, labels: {} }];
    } catch {
      return [];
    }
  };
  return { family: async () => ({ name, help, type: 'gauge', aggregator, values: await current() }) };
}
