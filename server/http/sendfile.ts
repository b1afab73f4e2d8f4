import type { Socket } from 'node:net';
import type { ReadableFile } from '../../storage/blobs/driver.ts';

/**
 * sendfile(2), for what lies in the page cache. To hand a page over costs a small part of copying it twice, which is
 * most of what a large pull costs. No call waits for the disk or for the client, so all of them may run on the event
 * loop. Nor does one tell an error: the ordinary way, taken next, meets it again.
 */
export interface Sendfile {
  /** Whether the next `count` bytes are in memory, as far as their first and last page can tell. */
  isCached(file: ReadableFile, count: number): boolean;
  /**
   * Moves at most `count` bytes, and says how many; the kernel must have everything that was written before. Fewer when
   * its buffer for the connection is full.
   */
  send(socket: Socket, file: ReadableFile, count: number): number;
  /** Reads what is in memory into the start of `buffer`, and says how many bytes. */
  read(file: ReadableFile, buffer: Uint8Array): number;
}

/** The calls as `node:ffi` wraps them: an error is -1n. */
interface LibraryCalls {
  sendfile(to: number, from: number, offset: BigInt64Array, count: bigint): bigint;
  preadv2(descriptor: number, vectors: BigUint64Array, count: number, offset: bigint, flags: number): bigint;
}

const SIGNATURES = {
  sendfile: signature(['int32', 'int32', 'buffer', 'uint64'], 'int64'),
  preadv2: signature(['int32', 'buffer', 'int32', 'int64', 'int32'], 'int64'),
};

// preadv2(2): an error instead of a read from the disk.
const RWF_NOWAIT = 8;

/** Loads it with the first call: most of what a registry sends is small. */
export function lazySendfile(): () => Sendfile | undefined {
  let loaded: { readonly sendfile: Sendfile | undefined } | undefined;
  return () => (loaded ??= { sendfile: loadSendfile() }).sendfile;
}

/** Undefined where it cannot be had: not Linux, a Node without `node:ffi`, a C library without the calls. */
function loadSendfile(): Sendfile | undefined {
  const ffi = process.platform === 'linux' ? quietly(() => process.getBuiltinModule('node:ffi')) : undefined;
  if (ffi === undefined) return undefined;
  try {
    const calls: LibraryCalls = ffi.dlopen(null, SIGNATURES).functions;
    const sendfile = new LibrarySendfile(calls, ffi.getRawPointer);
    // The interface is young: what it has made of the signatures shows only in a call.
    return calls.sendfile(-1, -1, new BigInt64Array(1), 0n) === -1n && !sendfile.isCached(NOTHING, 1)
      ? sendfile
      : undefined;
  } catch {
    return undefined;
  }
}

/** Without the warning that the module is experimental: nobody who runs a registry can do anything about it. */
function quietly<T>(load: () => T): T {
  const emit = process.emitWarning.bind(process);
  process.emitWarning = () => {};
  try {
    return load();
  } finally {
    process.emitWarning = emit;
  }
}

const handedOver = new WeakMap<Socket, number>();

/** `bytesWritten`, and what sendfile sent. */
export function bytesSent(socket: Socket): number {
  return socket.bytesWritten + (handedOver.get(socket) ?? 0);
}

const NOTHING: ReadableFile = { descriptor: -1, position: 0, left: 1, skip: () => {} };

/** Releases of Node differ in the names. */
function signature(parameters: readonly string[], result: string) {
  return { arguments: parameters, return: result, parameters, result } as never;
}

class LibrarySendfile implements Sendfile {
  readonly #calls: LibraryCalls;
  readonly #addressOf: (bytes: Uint8Array) => bigint;
  readonly #offset = new BigInt64Array(1);
  /** One `struct iovec`: address and length. */
  readonly #vector = new BigUint64Array(2);
  readonly #byte = Buffer.allocUnsafeSlow(1);

  constructor(calls: LibraryCalls, addressOf: (bytes: Uint8Array) => bigint) {
    this.#calls = calls;
    this.#addressOf = addressOf;
  }

  isCached(file: ReadableFile, count: number): boolean {
    return (
      this.#readAt(file, file.position + count - 1, this.#byte) === 1 &&
      this.#readAt(file, file.position, this.#byte) === 1
    );
  }

  send(socket: Socket, file: ReadableFile, count: number): number {
    const descriptor = descriptorOf(socket);
    if (descriptor === undefined) return 0;
    this.#offset[0] = BigInt(file.position);
    const sent = Number(this.#calls.sendfile(descriptor, file.descriptor, this.#offset, BigInt(count)));
    if (sent <= 0) return 0;
    handedOver.set(socket, (handedOver.get(socket) ?? 0) + sent);
    file.skip(sent);
    return sent;
  }

  read(file: ReadableFile, buffer: Uint8Array): number {
    const wanted = buffer.subarray(0, Math.min(buffer.length, file.left));
    const count = this.#readAt(file, file.position, wanted);
    file.skip(count);
    return count;
  }

  #readAt(file: ReadableFile, position: number, buffer: Uint8Array): number {
    if (buffer.length === 0) return 0;
    this.#vector[0] = this.#addressOf(buffer);
    this.#vector[1] = BigInt(buffer.length);
    return Math.max(0, Number(this.#calls.preadv2(file.descriptor, this.#vector, 1, BigInt(position), RWF_NOWAIT)));
  }
}

/** Node shows it nowhere else. Undefined as soon as the connection is closed, when the number may be another's. */
function descriptorOf(socket: Socket): number | undefined {
  const { _handle: handle } = socket as { _handle?: { readonly fd?: number } | null };
  return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
}
