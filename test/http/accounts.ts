import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import bcrypt from 'bcrypt';
import { temporaryDirectory } from '../harness/process.ts';
import { SECRETS, USERS, type Column } from './access-table.ts';
import type { Client } from './client.ts';

/** An htpasswd file in which everyone's password is `<user>'s password`. */
export async function htpasswdFile(users: readonly string[]): Promise<{ path: string } & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const file = path.join(directory.path, 'users');
  // The least that bcrypt allows: a test waits for hundreds of them.
  const lines = users.map((user) => `${user}:${bcrypt.hashSync(passwordOf(user), 4)}\n`);
  await writeFile(file, lines.join(''));
  return { path: file, [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose]() };
}

export function passwordOf(user: string): string {
  return `${user}'s password`;
}

/** The header of `user:password`. */
export function basic(user: string, password = passwordOf(user)): { Authorization: string } {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

/** An access token, as `root` makes it. */
export async function accessToken(
  client: Client,
  wanted: object,
): Promise<{ readonly id: number; readonly token: string }> {
  const answer = await client.post('/api/v1/tokens', JSON.stringify({ name: 'test', ...wanted }), basic('root'));
  assert.equal(answer.status, 201, answer.text);
  return answer.json() as { id: number; token: string };
}

/** The header of every column of the table, of which access tokens are made. `clock` is what the server adds to its time. */
export async function headersOfColumns(client: Client, clock: { offset: number }) {
  const robot = await accessToken(client, { robot: 'builder', repositories: ['team/**'] });
  const revoked = await accessToken(client, { user: 'root' });
  assert.equal((await client.delete(`/api/v1/tokens/${revoked.id}`, basic('root'))).status, 204);
  clock.offset = -3600_000;
  const expired = await accessToken(client, { user: 'root', expires: '1m' });
  clock.offset = 0;
  const secrets = { robot, expired, revoked };
  const headers = new Map<Column, Record<string, string>>([
    ['nobody', {}],
    ['wrong', basic('root', 'a guess')],
    ...USERS.map((user) => [user, basic(user)] as const),
    ...SECRETS.map((column) => [column, basic('any', secrets[column].token)] as const),
  ]);
  return (column: Column): Record<string, string> => headers.get(column) ?? assert.fail(column);
}
