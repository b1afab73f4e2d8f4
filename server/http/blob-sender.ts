import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BlobReader, ReadableFile } from '../../storage/blobs/driver.ts';
import type { BufferLease, Buffers } from './buffers.ts';
import type { Sendfile } from './sendfile.ts';

// A client that needs longer for a buffer gets smaller ones.
const SLOW_MS = 500;
// So much is sent before others get their turn: a tenth of a millisecond.
const PIECE_BYTES = 1024 * 1024;
// Node's timer for a stuck connection knows of writes only: even a client that never makes us wait gets one now and then.
const WRITE_EVERY_BYTES = 256 * 1024 * 1024;
// What was not in memory will hardly be right behind it.
const COLD_BYTES = 16 * 1024 * 1024;

/** The response's connection is closed, by the client or by the timeout. */
export class ResponseClosed extends Error {
  override readonly name = 'ResponseClosed';

  constructor() {
    super('the connection closed before the end of the response');
  }
}

/** What all transfers of a process share. */
export interface SendingParts {
  readonly buffers: Buffers;
  /** Gives undefined where there is none, or it is not wanted. */
  readonly sendfile: () => Sendfile | undefined;
}

/** Sends what `reader` gives; does not end the response. */
export async function sendBlob(response: ServerResponse, reader: BlobReader, parts: SendingParts): Promise<void> {
  const { buffers } = parts;
  const buffered = new BufferedTransfer(response, reader, buffers);
  const { file } = reader;
  const sendfile = file === undefined ? undefined : parts.sendfile();
  const { socket } = response;
  const isPlain = socket !== null && !('encrypted' in socket);
  if (sendfile === undefined || file === undefined || !isPlain) await buffered.send(Infinity);
  else await sendFile({ response, socket, file, buffered, sendfile, buffers });
}

interface FileTransfer {
  readonly response: ServerResponse;
  readonly socket: Socket;
  readonly file: ReadableFile;
  readonly buffered: BufferedTransfer;
  readonly sendfile: Sendfile;
  readonly buffers: Buffers;
}

/** Inside the kernel what is in memory, through buffers what is not. */
async function sendFile(transfer: FileTransfer): Promise<void> {
  const { response, socket, file, buffered, sendfile } = transfer;
  response.flushHeaders();
  let sinceWrite = 0;
  while (file.left > 0) {
    const wanted = Math.min(PIECE_BYTES, file.left);
    if (!sendfile.isCached(file, wanted)) {
      await buffered.send(COLD_BYTES);
      continue;
    }
    const sent = response.writableLength === 0 ? sendfile.send(socket, file, wanted) : 0;
    sinceWrite += sent;
    if (sent === wanted && sinceWrite < WRITE_EVERY_BYTES) await nextTurn();
    else {
      await waitForRoom(transfer);
      sinceWrite = 0;
    }
    if (response.destroyed) throw new ResponseClosed();
  }
}

/** Only a write tells when the kernel takes bytes again. */
async function waitForRoom({ response, file, buffered, sendfile, buffers }: FileTransfer): Promise<void> {
  const buffer = buffers.takeProbe();
  try {
    const length = sendfile.read(file, buffer);
    if (length > 0) await write(response, buffer.subarray(0, length));
    else await buffered.send(1);
  } finally {
    buffers.giveProbe(buffer);
  }
}

/** Reads the next buffer while the socket takes the last one. */
class BufferedTransfer {
  readonly #response: ServerResponse;
  readonly #reader: BlobReader;
  readonly #buffers: Buffers;
  #sent = 0;

  constructor(response: ServerResponse, reader: BlobReader, buffers: Buffers) {
    this.#response = response;
    this.#reader = reader;
    this.#buffers = buffers;
  }

  /** Sends `count` bytes, or somewhat more, or all there are. */
  async send(count: number): Promise<void> {
    const lease = this.#buffers.lease(this.#reader.size);
    try {
      await this.#send(lease, this.#sent + count);
    } finally {
      lease.end();
    }
  }

  async #send(lease: BufferLease, until: number): Promise<void> {
    let buffer = lease.first;
    let length = await this.#reader.fill(buffer);
    while (length > 0) {
      this.#sent += length;
      const startedAt = performance.now();
      const spare = this.#sent < until ? lease.spare(buffer, this.#sent) : undefined;
      const [filled] = await both(spare && this.#reader.fill(spare), write(this.#response, buffer.subarray(0, length)));
      if (performance.now() - startedAt > SLOW_MS) lease.slow();
      if (filled === undefined && this.#sent >= until) return;
      buffer = spare ?? lease.next(buffer);
      length = filled ?? (await this.#reader.fill(buffer));
    }
  }
}

/** Waits for both even when one fails: as long as either is under way its buffer belongs to it. */
async function both<T>(filled: Promise<T> | undefined, written: Promise<void>): Promise<[T | undefined]> {
  const [fill, writing] = await Promise.allSettled([filled, written]);
  if (writing.status === 'rejected') throw writing.reason;
  if (fill.status === 'rejected') throw fill.reason;
  return [fill.value];
}

/** Resolves when the kernel has taken all of it. */
function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    if (response.destroyed) {
      reject(new ResponseClosed());
      return;
    }
    const closed = () => reject(new ResponseClosed());
    response.once('close', closed);
    response.write(bytes, (error) => {
      response.off('close', closed);
      if (error) reject(new ResponseClosed());
      else resolve();
    });
  });
}
