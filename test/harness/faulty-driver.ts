import {
  StorageError,
  type BlobDriver,
  type BlobReader,
  type BlobStat,
  type ByteRange,
  type Key,
  type ListEntry,
  type ObjectReader,
  type SmallWrite,
  type StagedWrite,
  type StorageFailure,
} from '../../storage/blobs/driver.ts';

/** A method of the driver, of its readers (`fill`) or of its stages. */
export type FaultyOperation =
  | Exclude<keyof BlobDriver, 'close' | 'deferred'>
  | 'listDeferred'
  | 'finishDeferred'
  | 'fill'
  | Exclude<keyof StagedWrite, 'size' | 'read'>
  | 'readStaged';

export interface Fault {
  readonly operation: FaultyOperation;
  /** Which call of the operation fails, counted from 1 over the whole driver; every call when absent. */
  readonly call?: number;
  readonly failure: StorageFailure;
  /** `before` it did anything (the default), or `after` it had its whole effect: then only the answer is lost. */
  readonly when?: 'before' | 'after';
}

/** What a faulty driver was asked, and what it refused. A test that planned a fault must see it here. */
export interface FaultLog {
  readonly calls: ReadonlyMap<FaultyOperation, number>;
  readonly faults: readonly Fault[];
}

/** The same driver, with the calls of `plan` failing. The plan may be changed while the driver is in use. */
export function faulty(driver: BlobDriver, plan: readonly Fault[]): BlobDriver & FaultLog {
  return new FaultyDriver(driver, new Saboteur(plan));
}

class Saboteur implements FaultLog {
  readonly calls = new Map<FaultyOperation, number>();
  readonly faults: Fault[] = [];
  readonly #plan: readonly Fault[];

  constructor(plan: readonly Fault[]) {
    this.#plan = plan;
  }

  /** @param letGo of a result that nobody gets to see */
  async run<T>(
    operation: FaultyOperation,
    work: () => Promise<T>,
    letGo: (result: T) => Promise<void> | undefined = () => undefined,
  ): Promise<T> {
    const fault = this.#next(operation);
    if (fault === undefined) return work();
    if (fault.when === 'after') await letGo(await work());
    throw this.#errorOf(fault);
  }

  /** A fault `after` comes behind the last item. */
  async *iterate<T>(operation: FaultyOperation, items: () => AsyncIterable<T>): AsyncGenerator<T> {
    const fault = this.#next(operation);
    if (fault !== undefined && fault.when !== 'after') throw this.#errorOf(fault);
    yield* items();
    if (fault !== undefined) throw this.#errorOf(fault);
  }

  #next(operation: FaultyOperation): Fault | undefined {
    const call = (this.calls.get(operation) ?? 0) + 1;
    this.calls.set(operation, call);
    return this.#plan.find((fault) => fault.operation === operation && (fault.call ?? call) === call);
  }

  #errorOf(fault: Fault): StorageError {
    this.faults.push(fault);
    return new StorageError(fault.failure, `planned: ${fault.operation} ${fault.call ?? 'always'}`);
  }
}

class FaultyDriver implements BlobDriver, FaultLog {
  readonly #driver: BlobDriver;
  readonly #saboteur: Saboteur;
  readonly locate: BlobDriver['locate'];

  constructor(driver: BlobDriver, saboteur: Saboteur) {
    this.#driver = driver;
    this.#saboteur = saboteur;
    if (driver.locate === undefined) return;
    const locate = driver.locate.bind(driver);
    this.locate = (key, expiresMs) => saboteur.run('locate', () => locate(key, expiresMs));
  }

  get calls() {
    return this.#saboteur.calls;
  }

  get faults() {
    return this.#saboteur.faults;
  }

  stat(key: Key) {
    return this.#saboteur.run('stat', () => this.#driver.stat(key));
  }

  async read(key: Key, range?: ByteRange) {
    const reader = await this.#saboteur.run(
      'read',
      () => this.#driver.read(key, range),
      (lost) => lost?.close(),
    );
    return reader && new FaultyObjectReader(reader, this.#saboteur);
  }

  readSmall(key: Key, maxBytes: number) {
    return this.#saboteur.run('readSmall', () => this.#driver.readSmall(key, maxBytes));
  }

  writeAll(writes: readonly SmallWrite[], last?: readonly SmallWrite[]) {
    return this.#saboteur.run('writeAll', () => this.#driver.writeAll(writes, last));
  }

  delete(keys: readonly Key[]) {
    return this.#saboteur.run('delete', () => this.#driver.delete(keys));
  }

  setAside(key: Key, aside: Key) {
    return this.#saboteur.run('setAside', () => this.#driver.setAside(key, aside));
  }

  list(prefix: Key): AsyncIterable<ListEntry> {
    return this.#saboteur.iterate('list', () => this.#driver.list(prefix));
  }

  get scan(): BlobDriver['scan'] {
    const scan = this.#driver.scan?.bind(this.#driver);
    return scan && ((prefix) => this.#saboteur.iterate('scan', () => scan(prefix)));
  }

  get deferred(): BlobDriver['deferred'] {
    const deferred = this.#driver.deferred;
    if (deferred === undefined) return undefined;
    return {
      list: () => this.#saboteur.iterate('listDeferred', () => deferred.list()),
      finish: (key) => this.#saboteur.run('finishDeferred', () => deferred.finish(key)),
    };
  }

  async stage(key: Key) {
    const stage = await this.#saboteur.run(
      'stage',
      () => this.#driver.stage(key),
      (lost) => lost.detach(),
    );
    return new FaultyStage(stage, this.#saboteur);
  }

  async resume(key: Key) {
    const stage = await this.#saboteur.run(
      'resume',
      () => this.#driver.resume(key),
      (lost) => lost?.detach(),
    );
    return stage && new FaultyStage(stage, this.#saboteur);
  }

  flush() {
    return this.#saboteur.run('flush', () => this.#driver.flush());
  }

  removeAbandoned(before: Date) {
    return this.#saboteur.run('removeAbandoned', () => this.#driver.removeAbandoned(before));
  }

  close() {
    return this.#driver.close();
  }
}

class FaultyReader implements BlobReader {
  readonly size: number;
  readonly #reader: BlobReader;
  readonly #saboteur: Saboteur;

  constructor(reader: BlobReader, saboteur: Saboteur) {
    this.size = reader.size;
    this.#reader = reader;
    this.#saboteur = saboteur;
  }

  fill(buffer: Uint8Array) {
    return this.#saboteur.run('fill', () => this.#reader.fill(buffer));
  }

  close() {
    return this.#reader.close();
  }
}

class FaultyObjectReader extends FaultyReader implements ObjectReader {
  readonly object: BlobStat;

  constructor(reader: ObjectReader, saboteur: Saboteur) {
    super(reader, saboteur);
    this.object = reader.object;
  }
}

class FaultyStage implements StagedWrite {
  readonly #stage: StagedWrite;
  readonly #saboteur: Saboteur;

  constructor(stage: StagedWrite, saboteur: Saboteur) {
    this.#stage = stage;
    this.#saboteur = saboteur;
  }

  get size() {
    return this.#stage.size;
  }

  aim(target: Key) {
    this.#stage.aim(target);
  }

  append(chunks: readonly Uint8Array[]) {
    return this.#saboteur.run('append', () => this.#stage.append(chunks));
  }

  save() {
    return this.#saboteur.run('save', () => this.#stage.save());
  }

  async read() {
    const reader = await this.#saboteur.run(
      'readStaged',
      () => this.#stage.read(),
      (lost) => lost.close(),
    );
    return new FaultyReader(reader, this.#saboteur);
  }

  sync() {
    return this.#saboteur.run('sync', () => this.#stage.sync());
  }

  commit(key: Key, links: readonly SmallWrite[], mayDefer?: boolean) {
    return this.#saboteur.run('commit', () => this.#stage.commit(key, links, mayDefer));
  }

  abort() {
    return this.#saboteur.run('abort', () => this.#stage.abort());
  }

  detach() {
    return this.#saboteur.run('detach', () => this.#stage.detach());
  }
}
