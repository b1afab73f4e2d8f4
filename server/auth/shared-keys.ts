import { SharedRun } from '../../storage/shared-run.ts';
import type { SigningKeyRecords } from '../../storage/metadata/signing-keys.ts';
import { KeyRing, rotated } from './key-ring.ts';
import { createSigningKey, signingKeyOf, type Keys, type SigningKey } from './signing-keys.ts';

/** The keys in a database that several servers share: each accepts the tokens of the others. */
export class SharedKeys implements Keys {
  readonly #records: SigningKeyRecords;
  readonly #now: () => number;
  readonly #ring: KeyRing;
  // A token with a key that nobody knows lets everybody look: together.
  readonly #looks = new SharedRun(() => this.#look());

  private constructor(records: SigningKeyRecords, now: () => number) {
    this.#records = records;
    this.#now = now;
    this.#ring = new KeyRing('the table signing_key', now);
  }

  /** With the first key made, where there is none. @throws KeysUnusable */
  static async open(records: SigningKeyRecords, now: () => number = Date.now): Promise<SharedKeys> {
    const keys = new SharedKeys(records, now);
    await keys.#change((stored) => (stored.length > 0 ? stored : [createSigningKey(now())]));
    return keys;
  }

  async #change(work: Parameters<SigningKeyRecords['change']>[0]): Promise<void> {
    const stored = await this.#records.change(work);
    this.#ring.use(() => stored);
  }

  /** As `KeyFile.rotate`. */
  async rotate(): Promise<string> {
    const added = createSigningKey(this.#now());
    await this.#change((stored) => rotated(stored, added));
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

  /** @throws KeysUnusable, StorageError */
  reload(): Promise<void> {
    return this.#looks.join();
  }

  async #look(): Promise<void> {
    const stored = await this.#records.list();
    this.#ring.use(() => stored);
  }
}
