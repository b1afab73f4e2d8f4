import type { RunningServer } from '../harness/process.ts';
import { Client } from './client.ts';
import { sha256 } from './content.ts';
import { PRESENT, type Entry, type Ledger } from './ledger.ts';
import type { Value } from './register.ts';
import { emptyVerdict, forEachOf, type Verdict } from './verdict.ts';
import { verifyLists } from './verify-lists.ts';

const WIDTH = 12;

/**
 * Reads back what clients were told, over HTTP, while nobody writes: every blob and manifest is there, hashes to its
 * digest and has its size in HEAD; every tag points to what was last acknowledged or to what may have come after it;
 * every manifest that can be seen has all its parts. What was seen is what has to be there the next time.
 *
 * @param scope `unsettled`: only what somebody wrote to since the last look
 * @param pending see `Register.settle`
 */
export async function verifyRegistry(
  client: Client,
  ledger: Ledger,
  scope: 'unsettled' | 'all',
  pending: 'dead' | 'alive' = 'dead',
): Promise<Verdict> {
  const verification = new Verification(client, ledger, pending);
  const entries = ledger.entries().filter(({ register }) => scope === 'all' || !register.isSettled);
  await forEachOf(entries, WIDTH, (entry) => verification.check(entry));
  await verification.checkWholeness();
  await verifyLists(client, ledger, verification.verdict);
  return verification.verdict;
}

/** `verifyRegistry` of a server that was just started; when it does not answer, the error has what it printed. */
export async function readBack(server: RunningServer, ledger: Ledger, scope: 'unsettled' | 'all'): Promise<Verdict> {
  using client = new Client(server.url);
  try {
    return await verifyRegistry(client, ledger, scope);
  } catch (error) {
    throw new Error(`${String(error)}\n${server.output().slice(-5000)}`, { cause: error });
  }
}

class Verification {
  readonly verdict = emptyVerdict();
  readonly #client: Client;
  readonly #ledger: Ledger;
  readonly #pending: 'dead' | 'alive';
  readonly #visible: { repository: string; digest: string }[] = [];

  constructor(client: Client, ledger: Ledger, pending: 'dead' | 'alive') {
    this.#client = client;
    this.#ledger = ledger;
    this.#pending = pending;
  }

  async check(entry: Entry): Promise<void> {
    this.verdict.checked += 1;
    const allowed = entry.register.allowed();
    const found = await (entry.kind === 'blob' ? this.#blob(entry) : this.#manifest(entry));
    if (!allowed.has(found)) this.#report(entry, found, allowed);
    entry.register.settle(found, this.#pending);
  }

  async checkWholeness(): Promise<void> {
    await forEachOf(this.#visible, WIDTH, async ({ repository, digest }) => {
      const document = this.#ledger.documents.get(digest);
      if (document === undefined) return;
      const parts = [
        ...document.blobs.map((blob) => `/v2/${repository}/blobs/${blob}`),
        ...document.children.map((child) => `/v2/${repository}/manifests/${child}`),
      ];
      for (const part of parts) {
        const { status } = await this.#client.send('HEAD', part);
        if (status !== 200) this.verdict.wrong.push(`${repository}@${digest} is visible, HEAD ${part} is ${status}`);
      }
    });
  }

  async #blob({ repository, name }: Entry): Promise<Value> {
    const bytes = await this.#read(`/v2/${repository}/blobs/${name}`, name, this.#ledger.sizes.get(name));
    return bytes === undefined ? undefined : PRESENT;
  }

  async #manifest({ kind, repository, name }: Entry): Promise<Value> {
    const digest = await this.#read(`/v2/${repository}/manifests/${name}`, kind === 'manifest' ? name : undefined);
    if (digest === undefined) return undefined;
    this.#visible.push({ repository, digest });
    return kind === 'manifest' ? PRESENT : digest;
  }

  /** The digest of what is served at `target`; undefined when nothing is. */
  async #read(target: string, expected: string | undefined, size?: number): Promise<string | undefined> {
    const head = await this.#client.send('HEAD', target);
    const got = await this.#client.send('GET', target);
    if (got.status === 404 && head.status === 404) return undefined;
    const digest = sha256(got.body);
    this.verdict.hashedBytes += got.body.length;
    const faults = [
      got.status !== 200 && `GET is ${got.status}: ${got.body.toString().slice(0, 200)}`,
      head.status !== 200 && `HEAD is ${head.status}`,
      Number(head.headers['content-length']) !== got.body.length && `HEAD says ${head.headers['content-length']} bytes`,
      size !== undefined && got.body.length !== size && `${got.body.length} bytes of ${size}`,
      digest !== (expected ?? got.headers['docker-content-digest']) && `hashes to ${digest}`,
      this.#mediaTypeFault(digest, got.headers['content-type']),
    ].filter((fault) => typeof fault === 'string');
    this.verdict.wrong.push(...faults.map((fault) => `${target}: ${fault}`));
    return digest;
  }

  #mediaTypeFault(digest: string, mediaType: string | undefined): string | false {
    const document = this.#ledger.documents.get(digest);
    return document !== undefined && document.mediaType !== mediaType && `Content-Type is ${mediaType}`;
  }

  #report({ kind, repository, name }: Entry, found: Value, allowed: ReadonlySet<Value>): void {
    const may = [...allowed].map((value) => value ?? 'nothing').join(' or ');
    const line = `${kind} ${repository} ${name}: ${found ?? 'nothing'} where ${may} may be`;
    (found === undefined ? this.verdict.lost : this.verdict.wrong).push(line);
  }
}
