import type {
  BlobDriver,
  BlobReader,
  BlobStat,
  ByteRange,
  Key,
  ListEntry,
  ObjectReader,
  SmallWrite,
  StagedWrite,
} from './driver.ts';

/** The methods that take time, of the driver, of its readers (`fill`) and of its stages. */
export type MeasuredOperation =
  | 'stat'
  | 'read'
  | 'fill'
  | 'readSmall'
  | 'writeAll'
  | 'delete'
  | 'setAside'
  | 'list'
  | 'scan'
  | 'stage'
  | 'resume'
  | 'append'
  | 'save'
  | 'readStaged'
  | 'sync'
  | 'commit'
  | 'abort'
  | 'detach'
  | 'flush'
  | 'removeAbandoned'
  | 'listDeferred'
  | 'finishDeferred'
  | 'locate';

/** Hears of every call when it ends; `ok` is whether it resolved. Must not throw. */
export type ObserveOperation = (operation: MeasuredOperation, seconds: number, ok: boolean) => void;

/**
 * The same driver, with every call timed. Of `list` only the time inside the driver counts, not that of whoever
 * consumes it, and it is told at the end.
 */
export function measured(driver: BlobDriver, observe: ObserveOperation): BlobDriver {
  return new MeasuredDriver(driver, new Stopwatch(observe));
}

class Stopwatch {
  readonly observe: ObserveOperation;

  constructor(observe: ObserveOperation) {
    this.observe = observe;
  }

  async time<T>(operation: MeasuredOperation, work: () => Promise<T>): Promise<T> {
    const start = performance.now();
    let ok = false;
    try {
      const result = await work();
      ok = true;
      return result;
    } finally {
      this.observe(operation, (performance.now() - start) / 1000, ok);
    }
  }

  async *iterate<T>(operation: MeasuredOperation, items: AsyncIterable<T>): AsyncGenerator<T> {
    let milliseconds = 0;
    let ok = false;
    let start = performance.now();
    try {
      for await (const item of items) {
        milliseconds += performance.now() - start;
        // Whoever stops early has not seen a failure.
        ok = true;
        yield item;
        ok = false;
        start = performance.now();
      }
      milliseconds += performance.now() - start;
      ok = true;
    } finally {
      this.observe(operation, milliseconds / 1000, ok);
    }
  }
}

class MeasuredDriver implements BlobDriver {
  readonly #driver: BlobDriver;
  readonly #watch: Stopwatch;
  readonly locate: BlobDriver['locate'];

  constructor(driver: BlobDriver, watch: Stopwatch) {
    this.#driver = driver;
    this.#watch = watch;
    // There only where the driver has it.
    if (driver.locate === undefined) return;
    const locate = driver.locate.bind(driver);
    this.locate = (key, expiresMs) => watch.time('locate', () => locate(key, expiresMs));
  }

  stat(key: Key) {
    return this.#watch.time('stat', () => this.#driver.stat(key));
  }

  async read(key: Key, range?: ByteRange) {
    const reader = await this.#watch.time('read', () => this.#driver.read(key, range));
    return reader && new MeasuredObjectReader(reader, this.#watch);
  }

  readSmall(key: Key, maxBytes: number) {
    return this.#watch.time('readSmall', () => this.#driver.readSmall(key, maxBytes));
  }

  writeAll(writes: readonly SmallWrite[], last?: readonly SmallWrite[]) {
    return this.#watch.time('writeAll', () => this.#driver.writeAll(writes, last));
  }

  delete(keys: readonly Key[]) {
    return this.#watch.time('delete', () => this.#driver.delete(keys));
  }

  setAside(key: Key, aside: Key) {
    return this.#watch.time('setAside', () => this.#driver.setAside(key, aside));
  }

  list(prefix: Key): AsyncIterable<ListEntry> {
    return this.#watch.iterate('list', this.#driver.list(prefix));
  }

  get scan(): BlobDriver['scan'] {
    const scan = this.#driver.scan?.bind(this.#driver);
    return scan && ((prefix) => this.#watch.iterate('scan', scan(prefix)));
  }

  get deferred(): BlobDriver['deferred'] {
    const deferred = this.#driver.deferred;
    if (deferred === undefined) return undefined;
    return {
      list: () => this.#watch.iterate('listDeferred', deferred.list()),
      finish: (key) => this.#watch.time('finishDeferred', () => deferred.finish(key)),
    };
  }

  async stage(key: Key) {
    return new MeasuredStage(await this.#watch.time('stage', () => this.#driver.stage(key)), this.#watch);
  }

  async resume(key: Key) {
    const stage = await this.#watch.time('resume', () => this.#driver.resume(key));
    return stage && new MeasuredStage(stage, this.#watch);
  }

  flush() {
    return this.#watch.time('flush', () => this.#driver.flush());
  }

  removeAbandoned(before: Date) {
    return this.#watch.time('removeAbandoned', () => this.#driver.removeAbandoned(before));
  }

  close() {
    return this.#driver.close();
  }
}

class MeasuredReader implements BlobReader {
  readonly size: number;
  readonly #reader: BlobReader;
  readonly #watch: Stopwatch;

  constructor(reader: BlobReader, watch: Stopwatch) {
    this.size = reader.size;
    this.#reader = reader;
    this.#watch = watch;
  }

  fill(buffer: Uint8Array) {
    return this.#watch.time('fill', () => this.#reader.fill(buffer));
  }

  get file() {
    return this.#reader.file;
  }

  close() {
    return this.#reader.close();
  }
}

class MeasuredObjectReader extends MeasuredReader implements ObjectReader {
  readonly object: BlobStat;

  constructor(reader: ObjectReader, watch: Stopwatch) {
    super(reader, watch);
    this.object = reader.object;
  }
}

class MeasuredStage implements StagedWrite {
  readonly #stage: StagedWrite;
  readonly #watch: Stopwatch;

  constructor(stage: StagedWrite, watch: Stopwatch) {
    this.#stage = stage;
    this.#watch = watch;
  }

  get size() {
    return this.#stage.size;
  }

  aim(target: Key) {
    this.#stage.aim(target);
  }

  append(chunks: readonly Uint8Array[]) {
    return this.#watch.time('append', () => this.#stage.append(chunks));
  }

  save() {
    return this.#watch.time('save', () => this.#stage.save());
  }

  async read() {
    const reader = await this.#watch.time('readStaged', () => this.#stage.read());
    return new MeasuredReader(reader, this.#watch);
  }

  sync() {
    return this.#watch.time('sync', () => this.#stage.sync());
  }

  commit(key: Key, links: readonly SmallWrite[], mayDefer?: boolean) {
    return this.#watch.time('commit', () => this.#stage.commit(key, links, mayDefer));
  }

  abort() {
    return this.#watch.time('abort', () => this.#stage.abort());
  }

  detach() {
    return this.#watch.time('detach', () => this.#stage.detach());
  }
}
