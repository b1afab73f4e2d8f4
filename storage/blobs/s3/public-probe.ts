import { randomUUID } from 'node:crypto';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { StorageError } from '../driver.ts';
import { Bucket } from './bucket.ts';
import { createClient, trustedBeside } from './client.ts';
import type { S3Options } from './options.ts';
import { PublicObjects } from './public-objects.ts';
import { Requests } from './requests.ts';

/**
 * What a client gets that is sent to the S3 server:
 *
 * - `same`: the bytes of the object
 * - `other`: bytes of something else
 * - `refused`: another status than 200, and the code of S3's error where there is one
 * - `unreached`: no answer; `code` is Node's word for the reason
 */
export type PublicOutcome =
  | { readonly kind: 'same' | 'other' }
  | { readonly kind: 'refused'; readonly status: number; readonly code: string | undefined }
  | { readonly kind: 'unreached'; readonly code: string; readonly reason: string };

export interface PublicProbe {
  /** Where clients are sent, as in `https://host:port`. */
  readonly origin: string;
  readonly outcome: PublicOutcome;
}

const EXPIRE_MS = 60_000;
const WITHIN_MS = 5_000;
// Enough for S3's errors, and for more than the object has.
const BYTES_MAX = 64 * 1024;

/**
 * Puts an object below `.meta/probe/`, fetches it as clients do who are sent to it, and takes it away again. The
 * authorities of the options are trusted, as by the registry itself.
 *
 * @returns undefined when no object can be put
 */
export async function probePublicEndpoint(options: S3Options): Promise<PublicProbe | undefined> {
  const client = createClient(options);
  const requests = new Requests(client, options);
  const objects = new PublicObjects(client, options);
  const bucket = new Bucket(requests);
  const key = `.meta/probe/${randomUUID()}`;
  const bytes = Buffer.from(`a probe, which whoever finds it may remove: ${key}\n`);
  try {
    await bucket.put(key, bytes);
    const url = await objects.urlOf(requests.at(key), EXPIRE_MS);
    return { origin: new URL(url).origin, outcome: await outcomeOf(url, bytes, options.authorities) };
  } catch (error) {
    if (error instanceof StorageError) return undefined;
    throw error;
  } finally {
    // One that was put although the answer was lost goes as well. Whether objects can be removed at all says `probe.ts`.
    await bucket.remove([key]).catch(() => {});
    objects.close();
    requests.close();
  }
}

async function outcomeOf(url: string, bytes: Buffer, authorities: string | undefined): Promise<PublicOutcome> {
  const signal = AbortSignal.timeout(WITHIN_MS);
  try {
    const { status, body } = await get(url, signal, authorities);
    if (status === 200) return { kind: bytes.equals(body) ? 'same' : 'other' };
    return { kind: 'refused', status, code: /<Code>(\w+)<\/Code>/.exec(body.toString('latin1'))?.[1] };
  } catch (error) {
    if (signal.aborted) return { kind: 'unreached', code: 'ETIMEDOUT', reason: `no answer within ${WITHIN_MS} ms` };
    const { name, message, code = name } = innermost(error);
    return { kind: 'unreached', code, reason: message };
  }
}

/** Node tries every address of a name, and then tells of all of them. */
function innermost(error: unknown): NodeJS.ErrnoException {
  const first: unknown = error instanceof AggregateError ? error.errors[0] : error;
  return first instanceof Error ? first : new Error(String(first));
}

interface Got {
  readonly status: number;
  readonly body: Buffer;
}

async function get(url: string, signal: AbortSignal, authorities: string | undefined): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = url.startsWith('https:')
    ? https.get(url, { signal, agent: false, ...trustedBeside(authorities) }, resolve)
    : http.get(url, { signal, agent: false }, resolve);
  request.on('error', reject);
  const response = await promise;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > BYTES_MAX) break;
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks) };
}
