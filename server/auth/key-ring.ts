import { signingKeyOf, type SigningKey, type StoredKey } from './signing-keys.ts';

/** The keys cannot be used; the message is for the person at the terminal. */
export class KeysUnusable extends Error {
  override readonly name = 'KeysUnusable';
}

// Longer than any token lives, and than another process needs to see a new key.
export const OVERLAP_MS = 24 * 60 * 60_000;
export const NEW_KEY_WAITS_MS = 10_000;

/** The keys of a store as a process has read them last. */
export class KeyRing {
  readonly #place: string;
  readonly #now: () => number;
  #keys: readonly SigningKey[] = [];

  /** @param place what errors call the place that they are kept in */
  constructor(place: string, now: () => number) {
    this.#place = place;
    this.#now = now;
  }

  /** All whose tokens are accepted. */
  get keys(): readonly SigningKey[] {
    return this.#keys;
  }

  /** The newest that other processes have seen by now. */
  get signer(): SigningKey {
    const known = this.#keys.filter(({ createdAt }) => createdAt <= this.#now() - NEW_KEY_WAITS_MS);
    const signer = known.at(-1) ?? this.#keys.at(0);
    if (signer === undefined) throw new KeysUnusable(`${this.#place} holds no key: remove it, and start again`);
    return signer;
  }

  find(id: string): SigningKey | undefined {
    return this.#keys.find((key) => key.id === id);
  }

  /** Uses these from now on. Those before stay when one cannot be used. @throws KeysUnusable */
  use(read: () => readonly StoredKey[]): void {
    try {
      this.#keys = read()
        .map(signingKeyOf)
        .toSorted((a, b) => a.createdAt - b.createdAt);
    } catch (error) {
      throw new KeysUnusable(`${this.#place} cannot be read: restore it, or remove it for a new key`, { cause: error });
    }
  }
}

/** The keys with a new one. The one before it is accepted for a day more; older ones are gone. */
export function rotated(keys: readonly StoredKey[], added: StoredKey): readonly StoredKey[] {
  // One that a newer one has replaced for longer than the overlap signed nothing that is still valid.
  const isReplaced = (key: StoredKey) =>
    keys.some((newer) => newer.createdAt > key.createdAt && newer.createdAt < added.createdAt - OVERLAP_MS);
  return [...keys.filter((key) => !isReplaced(key)), added];
}
