import { randomUUID } from 'node:crypto';
import type { CountRecords } from '../../storage/metadata/counts.ts';
import { CountSums, parseCounts } from './count-sums.ts';
import type { Counts } from './shared-counts.ts';

export interface ReplicaCountsParts {
  readonly records: Pick<CountRecords, 'tell' | 'latest' | 'after' | 'forget'>;
  /** Gets what other servers let pass. */
  readonly spend: (counts: Counts) => void;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: (() => number) | undefined;
}

/** Keys of each limit that one server tells at a time, so that a flood of addresses floods nothing else. */
export const TOLD_MOST = 1_000;
// As long as a server that was slow for a moment may take to read it.
const KEPT_MS = 10_000;
// Who tells something removes it soon afterwards. What stays for so long is of a server that is gone.
const LEFT_BEHIND_MS = 60_000;

/** What is known of another server. */
interface Heard {
  readonly number: number;
  /** Since when that is its last one. */
  readonly since: number;
}

/**
 * Tells other servers on the same database what this one let pass, and hears what they did.
 *
 * A limit is one of all servers together over time: between two exchanges each may let pass what it has tokens for, and
 * what was too much is missing in all of them afterwards. What could not be told is never told: held against
 * somebody minutes later it would keep them out for as long.
 */
export class ReplicaCounts {
  readonly #parts: ReplicaCountsParts;
  readonly #now: () => number;
  readonly #server = randomUUID();
  readonly #sums = new CountSums(TOLD_MOST);
  #number = 0;
  /** Own tellings that are to be removed, the oldest first. */
  #told: readonly { readonly number: number; readonly at: number }[] = [];
  /** Of servers whose tellings are there. */
  readonly #heard = new Map<string, Heard>();
  #hasHeard = false;

  constructor(parts: ReplicaCountsParts) {
    this.#parts = parts;
    this.#now = parts.now ?? (() => performance.now());
  }

  /** This server let it pass. */
  add(counts: Counts): void {
    this.#sums.add(counts);
  }

  /** Forgets what was counted and not told yet. */
  drop(): void {
    this.#sums.take();
  }

  /**
   * Tells and hears once. One call at a time.
   *
   * @throws StorageError when the database cannot be asked; what was to be told is dropped then
   */
  async exchange(): Promise<void> {
    await this.#tell();
    await this.#hear();
    await this.#tidy();
  }

  async #tell(): Promise<void> {
    const counts = this.#sums.take();
    if (counts === undefined) return;
    const number = ++this.#number;
    // Before it is written: it may be there though the answer is lost.
    this.#told = [...this.#told, { number, at: this.#now() }];
    await this.#parts.records.tell(this.#server, { number, counts: JSON.stringify(counts) });
  }

  async #hear(): Promise<void> {
    const latest = await this.#parts.records.latest(this.#server);
    for (const [server, number] of latest) {
      const known = this.#heard.get(server)?.number ?? 0;
      if (number <= known) continue;
      // What was told before this server began may be of any time.
      const last = this.#hasHeard ? await this.#read(server, known) : number;
      this.#heard.set(server, { number: last, since: this.#now() });
    }
    this.#hasHeard = true;
    for (const server of this.#heard.keys()) if (!latest.has(server)) this.#heard.delete(server);
  }

  /** @returns the number of the last one */
  async #read(server: string, behind: number): Promise<number> {
    let last = behind;
    for (const { number, counts } of await this.#parts.records.after(server, behind)) {
      const parsed = parseCounts(counts);
      if (parsed !== undefined) this.#parts.spend(parsed);
      last = number;
    }
    return last;
  }

  async #tidy(): Promise<void> {
    const { records } = this.#parts;
    const now = this.#now();
    const isOld = ({ at }: { readonly at: number }) => now - at >= KEPT_MS;
    const old = this.#told.findLast(isOld);
    if (old !== undefined) {
      await records.forget(this.#server, old.number);
      this.#told = this.#told.filter((told) => !isOld(told));
    }
    for (const [server, { number, since }] of this.#heard) {
      if (now - since >= LEFT_BEHIND_MS) await records.forget(server, number);
    }
  }
}
