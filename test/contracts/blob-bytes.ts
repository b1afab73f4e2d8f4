import assert from 'node:assert/strict';
import type { BlobDriver, BlobReader, ByteRange, Key, SmallWrite, StorageFailure } from '../../storage/blobs/driver.ts';
import { StorageError } from '../../storage/blobs/driver.ts';

/** Tests of drivers make keys of their own: a driver knows no names. */
export function keyOf(path: string): Key {
  return path as Key;
}

export function smallWrite(path: string, text: string): SmallWrite {
  return { key: keyOf(path), bytes: Buffer.from(text) };
}

/** Everything the reader gives, by buffers of `bufferBytes`; closes it. */
export async function drain(reader: BlobReader | undefined, bufferBytes = 64 * 1024): Promise<Buffer> {
  assert.ok(reader, 'nothing is there');
  const pieces: Buffer[] = [];
  const buffer = Buffer.alloc(bufferBytes);
  try {
    for (let count = await reader.fill(buffer); count > 0; count = await reader.fill(buffer)) {
      pieces.push(Buffer.from(buffer.subarray(0, count)));
    }
  } finally {
    await reader.close();
  }
  return Buffer.concat(pieces);
}

export async function bytesAt(driver: BlobDriver, path: string, range?: ByteRange): Promise<Buffer> {
  return drain(await driver.read(keyOf(path), range));
}

/** The small object as text; undefined when nothing is there. */
export async function textAt(driver: BlobDriver, path: string): Promise<string | undefined> {
  const bytes = await driver.readSmall(keyOf(path), 1024);
  return bytes && Buffer.from(bytes).toString();
}

export async function namesBelow(driver: BlobDriver, path: string): Promise<string[]> {
  const names = [];
  for await (const { name, isPrefix } of driver.list(keyOf(path))) names.push(isPrefix ? `${name}/` : name);
  return names;
}

/** Large bytes are compared without printing them. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.length, expected.length);
  assert.ok(Buffer.compare(actual, expected) === 0, 'as many bytes, but others');
}

export async function assertFails(work: Promise<unknown>, ...failures: StorageFailure[]): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof StorageError, `not a StorageError: ${String(error)}`);
    if (failures.length > 0) assert.ok(failures.includes(error.failure), `${error.failure}: ${error.message}`);
    return true;
  });
}
