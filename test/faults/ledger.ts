import type { Answer } from './client.ts';
import type { Document } from './content.ts';
import { Register, type Value, type Write } from './register.ts';

export type Kind = 'blob' | 'manifest' | 'tag';

/** A name that can be read back. */
export interface Entry {
  readonly kind: Kind;
  readonly repository: string;
  /** A digest, or a tag. */
  readonly name: string;
  readonly register: Register;
}

/** One change that a request makes, if it is carried out. */
export interface Change {
  readonly kind: Kind;
  readonly repository: string;
  readonly name: string;
  readonly value: Value;
  /** The request may also leave it as it is. */
  readonly isConditional?: boolean;
}

/** For a blob or a manifest; a tag has the manifest's digest. */
export const PRESENT = 'present';

/** What a crowd of clients was promised: who wrote what where, and what the server said to it. */
export class Ledger {
  readonly #entries = new Map<string, Map<string, Entry>>();
  /** Bytes of every blob that was ever sent, by digest. */
  readonly sizes = new Map<string, number>();
  readonly documents = new Map<string, Document>();
  readonly #children = new Set<string>();
  /** Answers that no healthy server gives to what the clients do. */
  readonly complaints: string[] = [];
  /** Changes that were answered with success. */
  acknowledged = 0;
  /** Changes whose answer never came, or was that the storage failed. */
  uncertain = 0;

  /** Notes the changes, makes the request, and notes what came of them. */
  async record(changes: readonly Change[], request: () => Promise<Answer>): Promise<Answer> {
    const writes = changes.map((change) => this.#begin(change));
    let answer: Answer;
    try {
      answer = await request();
    } catch (error) {
      this.uncertain += writes.length;
      throw error;
    }
    for (const write of writes) this.#judge(answer, write);
    return answer;
  }

  #begin(change: Change): Pending {
    const { register } = this.entry(change.kind, change.repository, change.name);
    return { change, register, write: register.begin(change.value) };
  }

  #judge({ status }: Answer, { change, register, write }: Pending): void {
    // 202 is the answer to a deletion; to a mount it says that there is none.
    const isDone = status === 201 || (status === 202 && write.value === undefined);
    const isGone = status === 404 && write.value === undefined;
    if (status >= 500) this.uncertain += 1;
    else if (!isDone && !isGone) register.refuse(write);
    else if (change.isConditional !== true) {
      register.acknowledge(write);
      this.acknowledged += 1;
    }
  }

  entry(kind: Kind, repository: string, name: string): Entry {
    const group = this.#group(kind, repository);
    let entry = group.get(name);
    if (entry === undefined) {
      entry = { kind, repository, name, register: new Register() };
      group.set(name, entry);
    }
    return entry;
  }

  entries(): Entry[] {
    return [...this.#entries.values()].flatMap((group) => [...group.values()]);
  }

  entriesOf(kind: Kind, repository: string): Entry[] {
    return [...this.#group(kind, repository).values()];
  }

  repositories(): Set<string> {
    return new Set(this.entries().map(({ repository }) => repository));
  }

  /** Whether the server has promised that it is there and nobody is taking it away. */
  has(kind: Kind, repository: string, name: string): boolean {
    return this.#group(kind, repository).get(name)?.register.certain() !== undefined;
  }

  /** What is certainly there of a kind. */
  present(kind: Kind, repository: string): Entry[] {
    return this.entriesOf(kind, repository).filter(({ register }) => register.certain() !== undefined);
  }

  /** Whether some index names the manifest, so that it must not be taken away. */
  isChild(digest: string): boolean {
    return this.#children.has(digest);
  }

  know(document: Document): void {
    this.documents.set(document.digest, document);
    for (const child of document.children) this.#children.add(child);
  }

  #group(kind: Kind, repository: string): Map<string, Entry> {
    const key = `${kind} ${repository}`;
    let group = this.#entries.get(key);
    if (group === undefined) {
      group = new Map();
      this.#entries.set(key, group);
    }
    return group;
  }
}

interface Pending {
  readonly change: Change;
  readonly register: Register;
  readonly write: Write;
}
