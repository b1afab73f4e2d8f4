import type { Answer, Client } from './client.ts';
import type { Blob } from './content.ts';
import { PRESENT, type Change, type Ledger } from './ledger.ts';
import type { Random } from './random.ts';

/** Where a push goes, and who keeps the books. */
export interface Destination {
  readonly client: Client;
  readonly ledger: Ledger;
  readonly repository: string;
}

export const STYLES = ['monolithic', 'streamed', 'chunked', 'single'] as const;
export type Style = (typeof STYLES)[number];

/** Thrown when the server answers otherwise than it should; the ledger has the complaint. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly answer: Answer;

  constructor(request: string, answer: Answer) {
    super(`${request} answered ${answer.status}: ${answer.body.toString().slice(0, 300)}`);
    this.answer = answer;
  }
}

/** Answers with `answer` if its status is among `expected`; notes a complaint otherwise. */
export function expectStatus(ledger: Ledger, request: string, answer: Answer, ...expected: readonly number[]): Answer {
  if (expected.includes(answer.status)) return answer;
  const refused = new Refused(request, answer);
  ledger.complaints.push(refused.message);
  throw refused;
}

/** Pushes a blob in the way of one kind of client. */
export async function pushBlob(to: Destination, blob: Blob, style: Style, random: Random): Promise<void> {
  to.ledger.sizes.set(blob.digest, blob.bytes.length);
  if (style === 'single') return pushSingle(to, blob);
  await pushToSession(to, await openSession(to), blob, style, random);
}

/** Mounts it from `source`, or uploads it where the server does not mount. */
export async function mountBlob(to: Destination, blob: Blob, source: string, random: Random): Promise<void> {
  const target = `/v2/${to.repository}/blobs/uploads/?mount=${blob.digest}&from=${source}`;
  const answer = await to.ledger.record([presence(to, blob)], () => to.client.send('POST', target));
  expectStatus(to.ledger, `POST ${target}`, answer, 201, 202);
  if (answer.status === 202) await pushToSession(to, locationOf(answer), blob, 'streamed', random);
}

/** end-4a; the path of the new session. */
export async function openSession({ client, ledger, repository }: Destination): Promise<string> {
  const target = `/v2/${repository}/blobs/uploads/`;
  return locationOf(expectStatus(ledger, `POST ${target}`, await client.send('POST', target), 202));
}

/** end-5 with one range after the other; the path for the next request. */
export async function patchRange(to: Destination, session: string, start: number, bytes: Buffer): Promise<string> {
  const headers = {
    'Content-Type': 'application/octet-stream',
    'Content-Range': `${start}-${start + bytes.length - 1}`,
  };
  const answer = await to.client.send('PATCH', session, { headers, body: bytes });
  return locationOf(expectStatus(to.ledger, `PATCH ${session}`, answer, 202));
}

/** end-6. */
export async function closeSession(to: Destination, session: string, blob: Blob, body?: Buffer): Promise<void> {
  const target = `${session}${session.includes('?') ? '&' : '?'}digest=${blob.digest}`;
  const sending = body === undefined ? {} : { headers: { 'Content-Type': 'application/octet-stream' }, body };
  const answer = await to.ledger.record([presence(to, blob)], () => to.client.send('PUT', target, sending));
  expectStatus(to.ledger, `PUT ${target}`, answer, 201);
}

/** Path and query of a Location, which may be absolute. */
export function locationOf(answer: Answer): string {
  const { pathname, search } = new URL(answer.headers.location ?? '', 'http://relative');
  return pathname + search;
}

async function pushToSession(to: Destination, session: string, blob: Blob, style: Style, random: Random) {
  if (style === 'monolithic') return closeSession(to, session, blob, blob.bytes);
  const patch = style === 'chunked' ? patchChunks : patchStream;
  return closeSession(to, await patch(to, session, blob.bytes, random), blob);
}

/** As docker, podman and skopeo send a layer: one PATCH of unknown length. */
async function patchStream(to: Destination, session: string, bytes: Buffer, random: Random): Promise<string> {
  const headers = { 'Content-Type': 'application/octet-stream' };
  const answer = await to.client.send('PATCH', session, { headers, body: cut(bytes, random) });
  return locationOf(expectStatus(to.ledger, `PATCH ${session}`, answer, 202));
}

async function patchChunks(to: Destination, session: string, bytes: Buffer, random: Random): Promise<string> {
  let at = session;
  let start = 0;
  for (const chunk of cut(bytes, random)) {
    at = await patchRange(to, at, start, chunk);
    start += chunk.length;
  }
  return at;
}

/** end-4b. */
async function pushSingle(to: Destination, blob: Blob): Promise<void> {
  const target = `/v2/${to.repository}/blobs/uploads/?digest=${blob.digest}`;
  const sending = { headers: { 'Content-Type': 'application/octet-stream' }, body: blob.bytes };
  const answer = await to.ledger.record([presence(to, blob)], () => to.client.send('POST', target, sending));
  expectStatus(to.ledger, `POST ${target}`, answer, 201, 202);
  // The spec lets a server answer with a session instead.
  if (answer.status === 202) await closeSession(to, locationOf(answer), blob, blob.bytes);
}

/** One to four pieces, none empty. */
function cut(bytes: Buffer, random: Random): Buffer[] {
  const size = Math.ceil(bytes.length / random.integer(1, 4));
  const pieces: Buffer[] = [];
  for (let start = 0; start < bytes.length; start += size) pieces.push(bytes.subarray(start, start + size));
  return pieces;
}

function presence(to: Destination, blob: Blob): Change {
  return { kind: 'blob', repository: to.repository, name: blob.digest, value: PRESENT };
}
