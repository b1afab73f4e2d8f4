import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { createSigningKey, signingKeyOf, type Keys, type SigningKey, type StoredKey } from './signing-keys.ts';

/** The keys cannot be used; the message is for the person at the terminal. */
export class KeysUnusable extends Error {
  override readonly name = 'KeysUnusable';
}

// Longer than any token lives, and than another process needs to see a new key.
export const OVERLAP_MS = 24 * 60 * 60_000;
export const NEW_KEY_WAITS_MS = 10_000;

const OWNER_ONLY = 0o600;

/** `<root>/.meta/keys.json`: what signs the tokens of a store. Nobody but its owner may read it. */
export class KeyFile implements Keys {
  readonly #file: string;
  readonly #now: () => number;
  #keys: readonly SigningKey[] = [];
  #identity = '';

  constructor(root: string, now: () => number = Date.now) {
    this.#file = path.join(root, '.meta', 'keys.json');
    this.#now = now;
  }

  /** Makes the first key where there is none. For the process that no other has followed yet. */
  ensure(): void {
    try {
      if (statSync(this.#file, { throwIfNoEntry: false }) === undefined) this.#write([createSigningKey(this.#now())]);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const advice = code === 'ENOENT' ? 'no registry is there yet: name its --root' : 'this user may not write there';
      throw new KeysUnusable(`${this.#file} cannot be written (${code}): ${advice}`, { cause: error });
    }
    this.reload();
  }

  /**
   * Adds a key that signs from now on. The one before it is accepted for a day more; older ones are removed.
   *
   * @returns the id of the new key
   */
  rotate(): string {
    this.ensure();
    const now = this.#now();
    // One that a newer one has replaced for longer than the overlap signed nothing that is still valid.
    const isReplaced = (key: StoredKey) =>
      this.#read().some((newer) => newer.createdAt > key.createdAt && newer.createdAt < now - OVERLAP_MS);
    const added = createSigningKey(now);
    this.#write([...this.#read().filter((key) => !isReplaced(key)), added]);
    this.reload();
    return signingKeyOf(added).id;
  }

  /** All keys whose tokens are accepted. */
  get keys(): readonly SigningKey[] {
    return this.#keys;
  }

  /** The newest that other processes have seen by now. */
  get signer(): SigningKey {
    const known = this.#keys.filter(({ createdAt }) => createdAt <= this.#now() - NEW_KEY_WAITS_MS);
    const signer = known.at(-1) ?? this.#keys.at(0);
    if (signer === undefined) throw new KeysUnusable(`${this.#file} holds no key: remove it, and start again`);
    return signer;
  }

  find(id: string): SigningKey | undefined {
    return this.#keys.find((key) => key.id === id);
  }

  /** Reads the file again if it is another by now. @throws KeysUnusable */
  reload(): void {
    const { ino, mtimeNs, size } = statSync(this.#file, { bigint: true });
    const identity = [ino, mtimeNs, size].join(':');
    if (identity === this.#identity) return;
    try {
      this.#keys = this.#read()
        .map(signingKeyOf)
        .toSorted((a, b) => a.createdAt - b.createdAt);
    } catch (error) {
      throw new KeysUnusable(`${this.#file} cannot be read: restore it, or remove it for a new key`, { cause: error });
    }
    this.#identity = identity;
  }

  #read(): readonly StoredKey[] {
    return (JSON.parse(readFileSync(this.#file, 'utf8')) as { keys: readonly StoredKey[] }).keys;
  }

  #write(keys: readonly StoredKey[]): void {
    const temporary = `${this.#file}.${randomUUID()}`;
    const file = openSync(temporary, 'wx', OWNER_ONLY);
    try {
      writeSync(file, JSON.stringify({ keys }, null, 2));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.#file);
  }
}
