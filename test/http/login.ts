import assert from 'node:assert/strict';
import type { Answer, Client, RequestOptions } from './client.ts';

/** The parameters of a Bearer challenge. */
export function challengeOf(answer: Answer): Record<string, string> {
  const header = answer.header('WWW-Authenticate');
  assert.match(header, /^Bearer /);
  return Object.fromEntries([...header.matchAll(/(\w+)="([^"]*)"/g)].map(([, name = '', value = '']) => [name, value]));
}

/** What a client gets from the realm of a challenge. */
export async function tokenFor(
  client: Client,
  challenge: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const url = new URL(challenge['realm'] ?? '');
  for (const name of ['service', 'scope']) {
    const value = challenge[name];
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return client.get(url.href, headers);
}

/** `Bearer` with the token of an answer of the realm. */
export function bearer(answer: Answer): { Authorization: string } {
  assert.equal(answer.status, 200, answer.text);
  return { Authorization: `Bearer ${(answer.json() as { token: string }).token}` };
}

/** Sends a request as every client does: without credentials, then with a token for what the challenge asks for. */
export async function sendWithToken(
  client: Client,
  method: string,
  path: string,
  options: RequestOptions & { readonly credentials: Record<string, string> },
): Promise<Answer> {
  const { credentials, ...request } = options;
  const first = await client.send(method, path, request);
  if (first.status !== 401) return first;
  const token = await tokenFor(client, challengeOf(first), credentials);
  if (token.status !== 200) return token;
  return client.send(method, path, { ...request, headers: { ...request.headers, ...bearer(token) } });
}
