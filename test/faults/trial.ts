import assert from 'node:assert/strict';
import { pushBlob, Refused, type Destination } from './blob-push.ts';
import type { Answer, Client } from './client.ts';
import { blobOf, configBlob, imageDocument, sha256, type Blob, type Document } from './content.ts';
import { pushManifest } from './manifest-push.ts';
import { Random } from './random.ts';

/** One image that is pushed while something fails, and again afterwards. */
export interface TrialImage {
  readonly blobs: readonly Blob[];
  readonly document: Document;
}

export const TRIAL_TAG = 'v1';

/** A config and a layer, the layer of `layerBytes`. */
export function trialImage(seed: string, layerBytes = 20_000): TrialImage {
  const random = new Random(seed);
  const config = configBlob(random);
  const layer = blobOf(random.bytes(layerBytes));
  return { blobs: [layer, config], document: imageDocument(config, [layer], 'oci') };
}

/** Pushes it as docker does, and stops at the first answer that refuses something: that answer, or undefined. */
export async function tryPush(to: Destination, { blobs, document }: TrialImage): Promise<Answer | undefined> {
  try {
    for (const blob of blobs) await pushBlob(to, blob, 'streamed', new Random(blob.digest));
    await pushManifest(to, document, TRIAL_TAG);
    return undefined;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    to.ledger.complaints.length = 0;
    return error.answer;
  }
}

/** It has to be taken: nothing is in its way. */
export async function push(to: Destination, image: TrialImage): Promise<void> {
  const refusal = await tryPush(to, image);
  assert.equal(refusal, undefined, `refused: ${refusal?.status} ${refusal?.body.toString()}`);
}

/** What a client is told when the storage fails: come again, in the spec's form, and nothing of what lies behind. */
export function assertClearlyUnavailable({ status, headers, body }: Answer): void {
  const text = body.toString();
  assert.equal(status, 503, text);
  assert.match(headers['retry-after'] ?? '', /^\d+$/);
  assert.match(headers['content-type'] ?? '', /^application\/json/);
  const { errors } = JSON.parse(text) as { errors: { code: string; message: string }[] };
  assert.match(errors[0]?.code ?? '', /^[A-Z_]+$/);
  assert.notEqual(errors[0]?.message ?? '', '');
  assert.doesNotMatch(text, /E[A-Z]{3,}:|\/docker\/|\.meta|index\.db|errno|SQLITE/, 'it speaks of the inside');
}

/** Pulls the image by tag and by digest, with every blob, and compares every byte. */
export async function pull(client: Client, repository: string, { blobs, document }: TrialImage): Promise<void> {
  for (const reference of [TRIAL_TAG, document.digest]) {
    await get(client, `/v2/${repository}/manifests/${reference}`, document.digest);
  }
  for (const { digest } of blobs) await get(client, `/v2/${repository}/blobs/${digest}`, digest);
}

async function get(client: Client, target: string, digest: string): Promise<void> {
  const { status, body } = await client.send('GET', target);
  assert.equal(status, 200, `GET ${target}: ${body.toString('latin1').slice(0, 300)}`);
  assert.equal(sha256(body), digest, target);
}
