import type { ServerResponse } from 'node:http';
import type { BlobReader } from '../../storage/blobs/driver.ts';
import type { Buffers } from './buffers.ts';

// A client that needs longer for a buffer gets smaller ones.
const SLOW_MS = 500;

/** The response's connection is closed, by the client or by the timeout. */
export class ResponseClosed extends Error {
  override readonly name = 'ResponseClosed';

  constructor() {
    super('the connection closed before the end of the response');
  }
}

/** Sends what `reader` gives, reading the next buffer while the socket takes the last one. Does not end the response. */
export async function sendBlob(response: ServerResponse, reader: BlobReader, buffers: Buffers): Promise<void> {
  const lease = buffers.lease(reader.size);
  try {
    let buffer = lease.first;
    let length = await reader.fill(buffer);
    for (let sent = length; length > 0; sent += length) {
      const startedAt = performance.now();
      const spare = lease.spare(buffer, sent);
      const [filled] = await both(spare && reader.fill(spare), write(response, buffer.subarray(0, length)));
      if (performance.now() - startedAt > SLOW_MS) lease.slow();
      buffer = spare ?? lease.next(buffer);
      length = filled ?? (await reader.fill(buffer));
    }
  } finally {
    lease.end();
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
