import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import bcrypt from 'bcrypt';
import { temporaryDirectory } from '../harness/process.ts';

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
