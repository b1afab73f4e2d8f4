import {
  Counter,
  createGauge,
  Histogram,
  type Cell,
  type Distribution,
  type Instrument,
  type MetricFamily,
} from './instruments.ts';
import { createEventLoopDelay, processInstruments } from './metrics-process.ts';

/**
 * What one process counts. Every name starts with `entrepot_` or, where all Prometheus clients agree, with `process_`.
 *
 * Labels have few values each, whatever clients send: an endpoint is the spec's id (`end-3`) or `other`, never a
 * repository.
 */
export interface Metrics {
  /** A request has begun; every one of them must come to `request` once. */
  requestStarted(): void;
  /** A request is over, answered or broken off. */
  request(endpoint: string, method: string, status: number, seconds: number, bytesIn: number, bytesOut: number): void;
  /** A request was refused because of a limit of its client address or account. */
  requestLimited(limit: LimitKind): void;
  indexOperation(operation: string, seconds: number): void;
  driverOperation(operation: string, ok: boolean, seconds: number): void;
  /** The hits and misses of one cache. Keep it: counting on it costs nothing. */
  cache(name: string): CacheMetrics;
  /** Counts an answer to a pull that was given from memory. */
  lastKnown(): () => void;
  /** Counts what the checks of stored bytes come to. */
  integrity(): IntegrityMetrics;
  /** Tells how many upload sessions are open; asked at every scrape. Set it in one process only: values are added. */
  measureUploadsOpen(read: () => number | Promise<number>): void;
  /** Tells how much memory is in use for transfers in this process; asked at every scrape. */
  measureTransferMemory(read: () => number): void;
  /** Tells how many copies this process has before it that were left for later; asked at every scrape. */
  measureDeferredCopies(read: () => number): void;
  /** Everything counted so far, as plain JSON. */
  families(): Promise<readonly MetricFamily[]>;
  /** Stops watching the event loop. */
  close(): void;
}

/** What a limit is of: requests of an address or an account, or uploads at once. */
export type LimitKind = 'address' | 'account' | 'uploads';

export interface CacheMetrics {
  hit(): void;
  miss(): void;
}

export interface IntegrityMetrics {
  scrubbed(bytes: number): void;
  damaged(): void;
}

export function createMetrics(): Metrics {
  return new ProcessMetrics();
}

// From a cached manifest to an upload of hours.
const REQUEST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 300, 1800];
const OPERATION_SECONDS = [0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.01, 0.05, 0.25, 1, 10];

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** The children of one endpoint, so that a request looks up no labels. */
interface EndpointChildren {
  /** By method, then by status. */
  readonly requests: Map<string, Map<number, Cell>>;
  readonly duration: Distribution;
  readonly bytesIn: Cell;
  readonly bytesOut: Cell;
}

class ProcessMetrics implements Metrics {
  readonly #requests = new Counter({
    name: 'entrepot_http_requests_total',
    help: 'Requests that are over.',
    labels: ['endpoint', 'method', 'status'],
  });
  readonly #duration = new Histogram({
    name: 'entrepot_http_request_duration_seconds',
    help: 'From the head of a request to the end of its answer.',
    labels: ['endpoint'],
    buckets: REQUEST_SECONDS,
  });
  readonly #bytesIn = new Counter({
    name: 'entrepot_http_request_bytes_total',
    help: 'Body bytes taken from clients.',
    labels: ['endpoint'],
  });
  readonly #bytesOut = new Counter({
    name: 'entrepot_http_response_bytes_total',
    help: 'Body bytes given to clients.',
    labels: ['endpoint'],
  });
  readonly #limited = new Counter({
    name: 'entrepot_http_requests_limited_total',
    help: 'Requests refused because of a limit.',
    labels: ['limit'],
  });
  readonly #index = new Histogram({
    name: 'entrepot_index_operation_seconds',
    help: 'Time that the index took.',
    labels: ['operation'],
    buckets: OPERATION_SECONDS,
  });
  readonly #driver = new Histogram({
    name: 'entrepot_driver_operation_seconds',
    help: 'Time that the storage driver took.',
    labels: ['operation', 'outcome'],
    buckets: OPERATION_SECONDS,
  });
  readonly #cacheHits = new Counter({
    name: 'entrepot_cache_hits_total',
    help: 'Reads that a cache answered.',
    labels: ['cache'],
  });
  readonly #cacheMisses = new Counter({
    name: 'entrepot_cache_misses_total',
    help: 'Reads that a cache could not answer.',
    labels: ['cache'],
  });
  readonly #remembered = new Counter({
    name: 'entrepot_answers_from_memory_total',
    help: 'Questions of pulls that were answered as they were last, because the index could not be asked.',
  });
  readonly #scrubbed = new Counter({
    name: 'entrepot_scrubbed_bytes_total',
    help: 'Bytes that were read and hashed to see whether they are still right.',
  });
  readonly #damaged = new Counter({
    name: 'entrepot_damaged_blobs_total',
    help: 'Blobs and manifests whose stored bytes were found damaged or gone.',
  });
  readonly #eventLoopDelay = createEventLoopDelay();
  readonly #endpoints = new Map<string, EndpointChildren>();
  readonly #instruments: Instrument[];
  #inFlight = 0;

  constructor() {
    this.#instruments = [
      this.#requests,
      this.#duration,
      this.#bytesIn,
      this.#bytesOut,
      this.#limited,
      createGauge({
        name: 'entrepot_http_requests_in_flight',
        help: 'Requests that are not over yet.',
        read: () => this.#inFlight,
      }),
      this.#index,
      this.#driver,
      this.#cacheHits,
      this.#cacheMisses,
      this.#remembered,
      this.#scrubbed,
      this.#damaged,
      this.#eventLoopDelay,
      ...processInstruments(),
    ];
  }

  requestStarted(): void {
    this.#inFlight++;
  }

  request(endpoint: string, method: string, status: number, seconds: number, bytesIn: number, bytesOut: number): void {
    const children = this.#endpoints.get(endpoint) ?? this.#bindEndpoint(endpoint);
    const cell = children.requests.get(method)?.get(status) ?? this.#bindRequest(endpoint, children, method, status);
    cell.value++;
    children.duration.observe(seconds);
    children.bytesIn.value += bytesIn;
    children.bytesOut.value += bytesOut;
    this.#inFlight--;
  }

  requestLimited(limit: LimitKind): void {
    this.#limited.of(limit).value++;
  }

  indexOperation(operation: string, seconds: number): void {
    this.#index.of(operation).observe(seconds);
  }

  driverOperation(operation: string, ok: boolean, seconds: number): void {
    this.#driver.of(operation, ok ? 'ok' : 'error').observe(seconds);
  }

  cache(name: string): CacheMetrics {
    const hits = this.#cacheHits.of(name);
    const misses = this.#cacheMisses.of(name);
    return { hit: () => void hits.value++, miss: () => void misses.value++ };
  }

  lastKnown(): () => void {
    const remembered = this.#remembered.of();
    return () => void remembered.value++;
  }

  integrity(): IntegrityMetrics {
    const scrubbed = this.#scrubbed.of();
    const damaged = this.#damaged.of();
    return { scrubbed: (bytes) => void (scrubbed.value += bytes), damaged: () => void damaged.value++ };
  }

  measureUploadsOpen(read: () => number | Promise<number>): void {
    this.#instruments.push(
      createGauge({
        name: 'entrepot_uploads_open',
        help: 'Upload sessions that are neither finished nor expired.',
        read,
      }),
    );
  }

  measureTransferMemory(read: () => number): void {
    const help = 'Memory in use for transfers, added up over the processes.';
    this.#instruments.push(createGauge({ name: 'entrepot_transfer_memory_bytes', help, read }));
  }

  measureDeferredCopies(read: () => number): void {
    const help = 'Large blobs that are served and wait to be copied to their place in the bucket.';
    this.#instruments.push(createGauge({ name: 'entrepot_deferred_copies', help, read }));
  }

  families(): Promise<readonly MetricFamily[]> {
    return Promise.all(this.#instruments.map(async (instrument) => instrument.family()));
  }

  close(): void {
    this.#eventLoopDelay[Symbol.dispose]();
  }

  #bindEndpoint(endpoint: string): EndpointChildren {
    const children = {
      requests: new Map<string, Map<number, Cell>>(),
      duration: this.#duration.of(endpoint),
      bytesIn: this.#bytesIn.of(endpoint),
      bytesOut: this.#bytesOut.of(endpoint),
    };
    this.#endpoints.set(endpoint, children);
    return children;
  }

  #bindRequest(endpoint: string, children: EndpointChildren, method: string, status: number): Cell {
    const name = METHODS.has(method) ? method : 'other';
    const cell = this.#requests.of(endpoint, name, String(status));
    const byStatus = children.requests.get(name) ?? new Map<number, Cell>();
    byStatus.set(status, cell);
    children.requests.set(name, byStatus);
    return cell;
  }
}
