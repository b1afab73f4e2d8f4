import assert from 'node:assert/strict';
import { digestOf } from './content.ts';
import { assertRefused } from './refusal.ts';
import type { Setup } from './suite.ts';

/** The repository serves the blob, to the byte. */
export async function assertHas(
  { client }: Setup,
  name: string,
  content: Uint8Array,
  digest = digestOf(content),
): Promise<void> {
  const answer = await client.get(`/v2/${name}/blobs/${digest}`);
  assert.equal(answer.status, 200, answer.text.slice(0, 300));
  assert.ok(answer.bytes.equals(content));
}

/** The repository has no blob of this digest. */
export async function assertHasNot({ client }: Setup, name: string, digest: string): Promise<void> {
  assertRefused(await client.get(`/v2/${name}/blobs/${digest}`), 404, 'BLOB_UNKNOWN');
}
