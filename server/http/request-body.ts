import type { IncomingMessage } from 'node:http';
import type { RegistryError } from '../../oci/errors.ts';
import type { TransferBudget } from './transfer-budget.ts';
import type { Transfer, Watchdog } from './watchdog.ts';

// One writev of this size costs as much as one of 64 KiB: see the design, "Large pushes".
const GATHER_BYTES = 1024 * 1024;
const SMALL_GATHER_BYTES = 128 * 1024;

// A chunk of one byte costs 150 times as much memory as its byte. From the 17th of a batch on, small ones are copied
// together.
const SMALL_CHUNK_BYTES = 4 * 1024;
const LOOSE_CHUNKS = 16;
const TRAY_BYTES = 64 * 1024;

/** The client closed the connection before the end of its request. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';

  constructor() {
    super('the client went away');
  }
}

/** The body of one request. Read once, whole or in batches, or not at all. */
export class RequestBody {
  readonly #request: IncomingMessage;
  readonly #budget: TransferBudget;
  readonly #watchdog: Watchdog;
  #received = 0;

  constructor(request: IncomingMessage, budget: TransferBudget, watchdog: Watchdog) {
    this.#request = request;
    this.#budget = budget;
    this.#watchdog = watchdog;
  }

  /** As `Content-Length` says; undefined with a chunked body. Node has checked its form. */
  get length(): number | undefined {
    const { 'content-length': length, 'transfer-encoding': encoding } = this.#request.headers;
    if (length !== undefined) return Number(length);
    return encoding === undefined ? 0 : undefined;
  }

  /** Bytes read so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * The whole body in memory.
   *
   * @param tooLarge makes the error for a body of more than `maxBytes`
   * @throws RegistryError `tooLarge`'s, or 408 when it comes too slowly; ClientGone
   */
  async whole(maxBytes: number, tooLarge: () => RegistryError): Promise<Buffer> {
    if ((this.length ?? 0) > maxBytes) throw tooLarge();
    const parts: Uint8Array[] = [];
    for await (const chunks of this.batches()) {
      if (this.#received > maxBytes) throw tooLarge();
      parts.push(...chunks);
    }
    return Buffer.concat(parts);
  }

  /**
   * The body as batches of chunks, each batch about a mebibyte. While the consumer works on one, the next is gathered;
   * beyond that the client has to wait. What came before a break is given out before the error is.
   *
   * @throws RegistryError 408 when it comes too slowly; ClientGone
   */
  async *batches(): AsyncGenerator<readonly Uint8Array[]> {
    if (this.length === 0) return;
    const gather = this.#budget.take(GATHER_BYTES) ? GATHER_BYTES : SMALL_GATHER_BYTES;
    const gathering = new Gathering(this.#request, gather);
    const transfer: Transfer = {
      progress: () => gathering.bytes,
      isWaitingForUs: () => gathering.isPaused,
      stalled: (error) => gathering.fail(error),
    };
    this.#watchdog.watch(transfer);
    try {
      for (;;) {
        const chunks = await gathering.next();
        this.#received = gathering.bytes;
        if (chunks === undefined) return;
        yield chunks;
      }
    } finally {
      this.#watchdog.unwatch(transfer);
      gathering.stop();
      if (gather === GATHER_BYTES) this.#budget.give(GATHER_BYTES);
    }
  }
}

/** Collects the chunks of a flowing request until there are enough for a batch. */
class Gathering {
  readonly #request: IncomingMessage;
  readonly #target: number;
  #chunks: Uint8Array[] = [];
  /** Small chunks, one behind the other, that follow those in `#chunks`. */
  #tray: Buffer | undefined;
  #trayLength = 0;
  #gathered = 0;
  #isEnded = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;
  bytes = 0;

  constructor(request: IncomingMessage, target: number) {
    this.#request = request;
    this.#target = target;
    request.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose).on('error', this.#onClose);
    if (request.destroyed && !request.readableEnded) this.#error = new ClientGone();
  }

  get isPaused(): boolean {
    return this.#request.isPaused();
  }

  /** Undefined at the end. */
  async next(): Promise<readonly Uint8Array[] | undefined> {
    while (this.#gathered < this.#target && !this.#isEnded && this.#error === undefined) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    this.#emptyTray();
    if (this.#chunks.length > 0) {
      const chunks = this.#chunks;
      this.#chunks = [];
      this.#gathered = 0;
      if (this.#request.isPaused()) this.#request.resume();
      return chunks;
    }
    if (this.#error !== undefined) throw this.#error;
    return undefined;
  }

  fail(error: Error): void {
    this.#error ??= error;
    this.#wake?.();
  }

  stop(): void {
    const request = this.#request;
    request.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose).off('error', this.#onClose);
    // Without a listener a late error would end the process.
    request.on('error', () => {});
    request.pause();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (chunk.length < SMALL_CHUNK_BYTES && this.#chunks.length >= LOOSE_CHUNKS) this.#gatherSmall(chunk);
    else {
      this.#emptyTray();
      this.#chunks.push(chunk);
    }
    this.#gathered += chunk.length;
    this.bytes += chunk.length;
    if (this.#gathered < this.#target) return;
    this.#request.pause();
    this.#wake?.();
  };

  #gatherSmall(chunk: Buffer): void {
    if (this.#trayLength + chunk.length > TRAY_BYTES) this.#emptyTray();
    this.#tray ??= Buffer.allocUnsafeSlow(TRAY_BYTES);
    this.#trayLength += chunk.copy(this.#tray, this.#trayLength);
  }

  #emptyTray(): void {
    if (this.#tray === undefined) return;
    this.#chunks.push(this.#tray.subarray(0, this.#trayLength));
    this.#tray = undefined;
    this.#trayLength = 0;
  }

  readonly #onEnd = (): void => {
    this.#isEnded = true;
    this.#wake?.();
  };

  readonly #onClose = (): void => {
    if (!this.#isEnded) this.fail(new ClientGone());
  };
}
