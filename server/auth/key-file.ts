import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';
import { KeyRing, KeysUnusable, rotated } from './key-ring.ts';
import { createSigningKey, signingKeyOf, type Keys, type SigningKey, type StoredKey } from './signing-keys.ts';

const OWNER_ONLY = 0o600;

/** `<root>/.meta/keys.json`: what signs the tokens of a store. Nobody but its owner may read it. */
export class KeyFile implements Keys {
  readonly #file: string;
  readonly #now: () => number;
  readonly #ring: KeyRing;
  #identity = '';

  constructor(root: string, now: () => number = Date.now) {
    this.#file = path.join(root, '.meta', 'keys.json');
    this.#now = now;
    this.#ring = new KeyRing(this.#file, now);
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
    const added = createSigningKey(this.#now());
    this.#write(rotated(this.stored(), added));
    this.reload();
    return signingKeyOf(added).id;
  }

  get keys(): readonly SigningKey[] {
    return this.#ring.keys;
  }

  get signer(): SigningKey {
    return this.#ring.signer;
  }

  find(id: string): SigningKey | undefined {
    return this.#ring.find(id);
  }

  /** Reads the file again if it is another by now. @throws KeysUnusable */
  reload(): void {
    const { ino, mtimeNs, size } = statSync(this.#file, { bigint: true });
    const identity = [ino, mtimeNs, size].join(':');
    if (identity === this.#identity) return;
    this.#ring.use(() => this.stored());
    this.#identity = identity;
  }

  /** As they lie there. */
  stored(): readonly StoredKey[] {
    return storedKeysIn(this.#file);
  }

  #write(keys: readonly StoredKey[]): void {
    const temporary = `${this.#file}.${randomUUID()}`;
    const file = openSync(temporary, 'wx', OWNER_ONLY);
    try {
      writeSync(file, keyFileText(keys));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, this.#file);
  }
}

/** What a file of keys holds. */
export function storedKeysIn(file: string): readonly StoredKey[] {
  return (JSON.parse(readFileSync(file, 'utf8')) as { keys: readonly StoredKey[] }).keys;
}

export function keyFileText(keys: readonly StoredKey[]): string {
  return JSON.stringify({ keys }, null, 2);
}
