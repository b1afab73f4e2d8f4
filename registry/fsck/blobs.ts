import { digestFromNames, BLOBS_PREFIX, blobKey, blobsPrefix } from '../../storage/layout.ts';
import { DIGEST_ALGORITHMS, isDigestAlgorithm, type Digest, type DigestAlgorithm } from '../../oci/digest.ts';
import type { BlobStat } from '../../storage/blobs/driver.ts';
import type { Needing } from '../../storage/metadata/check.ts';
import type { ContentRecord } from '../../storage/metadata/integrity.ts';
import { handleDamage } from '../quarantine.ts';
import { examine, reconsider } from '../stored-bytes.ts';
import type { FindingKind } from './finding.ts';
import type { Scope } from './scope.ts';
import { entriesOf, unreadable } from './unreadable.ts';

const PAGE = 500;
const NEEDING_TOLD = 5;
const OF_BYTES: ReadonlySet<FindingKind> = new Set(['blob-missing', 'blob-corrupt', 'blob-unknown']);
const PREFIXES = Array.from({ length: 256 }, (_, number) => number.toString(16).padStart(2, '0'));

/** Something that is wrong with a blob, and how to put it right. */
interface Fault {
  readonly kind: FindingKind;
  readonly detail?: string;
  /** Found damaged before: no repository has it as a manifest to be told of. */
  readonly isQuarantined?: boolean;
  /** @returns whether it is put right */
  readonly repair?: () => Promise<boolean>;
}

/** Holds the bytes under `blobs/` against the rows of blobs, in both directions. */
export class BlobCheck {
  readonly #scope: Scope;

  constructor(scope: Scope) {
    this.#scope = scope;
  }

  async run(): Promise<void> {
    await this.#foreign();
    for (const algorithm of DIGEST_ALGORITHMS) {
      // As many as have the same two first digits are in memory at once.
      for (const prefix of PREFIXES) await this.#prefix(algorithm, prefix);
    }
  }

  async #foreign(): Promise<void> {
    const { report } = this.#scope;
    for await (const { name } of entriesOf(this.#scope, BLOBS_PREFIX)) {
      if (!isDigestAlgorithm(name)) report.add('foreign-file', { path: `${BLOBS_PREFIX}/${name}` });
      else {
        for await (const entry of entriesOf(this.#scope, blobsPrefix(name))) {
          if (!entry.isPrefix || !/^[0-9a-f]{2}$/.test(entry.name))
            report.add('foreign-file', { path: `${blobsPrefix(name)}/${entry.name}` });
        }
      }
    }
  }

  async #prefix(algorithm: DigestAlgorithm, prefix: string): Promise<void> {
    const inTree = await this.#stored(algorithm, prefix);
    const [first, last] = [`${algorithm}:${prefix}`, `${algorithm}:${prefix}g`];
    for (let after: string = first; ;) {
      const page = await this.#scope.context.metadata.integrity.page(after, last, PAGE);
      for (const record of page) {
        inTree.delete(record.digest);
        await this.#one(record.digest);
      }
      if (page.length < PAGE) break;
      after = page.at(-1)?.digest ?? after;
    }
    for (const digest of inTree) await this.#one(digest);
  }

  async #stored(algorithm: DigestAlgorithm, prefix: string): Promise<Set<Digest>> {
    const { report } = this.#scope;
    const digests = new Set<Digest>();
    const directory = blobsPrefix(algorithm, prefix);
    for await (const { name, isPrefix } of entriesOf(this.#scope, directory)) {
      const digest = isPrefix ? digestFromNames(algorithm, name) : undefined;
      if (digest === undefined) report.add('foreign-file', { path: `${directory}/${name}` });
      else digests.add(digest);
    }
    return digests;
  }

  async #one(digest: Digest): Promise<void> {
    const { report, pause } = this.#scope;
    report.looked.blobs += 1;
    const fault = await this.#fault(digest);
    // Told with its repository already, unless nobody gets it any more.
    const isTold =
      fault !== undefined &&
      OF_BYTES.has(fault.kind) &&
      fault.isQuarantined !== true &&
      (await this.#scope.context.metadata.check.isManifest(digest));
    if (fault !== undefined && !isTold) await this.#tell(digest, fault);
    await this.#queued(digest);
    await pause();
  }

  async #tell(digest: Digest, { kind, detail, repair }: Fault): Promise<void> {
    const { report, isRepairing } = this.#scope;
    const isRepaired = isRepairing && repair !== undefined && (await repair());
    report.add(kind, { digest, ...(detail !== undefined && { detail }) }, isRepaired);
    // Nothing differs any more when damaged bytes are out of the way; but what needs them is not whole.
    const left = isRepaired ? await this.#fault(digest) : undefined;
    if (left !== undefined) await this.#tell(digest, left);
  }

  async #fault(digest: Digest): Promise<Fault | undefined> {
    try {
      return await this.#settledFault(digest);
    } catch (error) {
      unreadable(error);
    }
    // It may have been taken away while it was read.
    await this.#settled(digest);
    try {
      return await this.#settledFault(digest);
    } catch (error) {
      return { kind: 'blob-unreadable', detail: unreadable(error).message };
    }
  }

  /** What is being pushed, collected or set aside is no fault: it is looked at again when that is over. */
  async #settledFault(digest: Digest): Promise<Fault | undefined> {
    const { driver, metadata } = this.#scope.context;
    for (;;) {
      const record = await metadata.integrity.find(digest);
      const stat = await driver.stat(blobKey(digest));
      const fault = await this.#judge(digest, record, stat);
      if (fault === undefined) return undefined;
      const now = await this.#settled(digest);
      const nowStat = await driver.stat(blobKey(digest));
      // What is no number in the index is none the second time either.
      const isSame = record?.state === now?.state && Object.is(record?.size, now?.size);
      if (isSame && nowStat?.size === stat?.size && nowStat?.modifiedAt.getTime() === stat?.modifiedAt.getTime()) {
        // Between the last two looks nobody changed it: a change would have ended with another row.
        return fault;
      }
      await this.#scope.pause();
    }
  }

  /** The row, once nobody is changing anything about the digest. */
  async #settled(digest: Digest): Promise<ContentRecord | undefined> {
    const { metadata } = this.#scope.context;
    for (;;) {
      const { isBusy, record } = await metadata.write('relaxed', async (tx) => ({
        record: await metadata.integrity.find(digest, tx),
        isBusy:
          (await metadata.collection.isBeingChanged(tx, digest)) || (await metadata.blobs.isBeingDeleted(tx, digest)),
      }));
      if (!isBusy) return record;
      await this.#scope.pause();
    }
  }

  async #judge(
    digest: Digest,
    record: ContentRecord | undefined,
    stat: BlobStat | undefined,
  ): Promise<Fault | undefined> {
    if (stat === undefined) return this.#withoutBytes(digest, record);
    // Of what should be of another size only the bytes can say which of the two is right.
    const isRead = !this.#scope.isQuick || record?.size !== stat.size || record.state === 'quarantined';
    if (!isRead) return undefined;
    const examined = await examine(this.#scope.context, digest, (bytes) => this.#read(bytes));
    if (examined.state === 'missing') return this.#withoutBytes(digest, record);
    return examined.state === 'right'
      ? this.#rightBytes(digest, record, examined.size)
      : this.#damaged(digest, examined.seen, record);
  }

  async #read(bytes: number): Promise<void> {
    this.#scope.report.looked.bytes += bytes;
    await this.#scope.pause();
  }

  async #withoutBytes(digest: Digest, record: ContentRecord | undefined): Promise<Fault | undefined> {
    // A directory without data, as others leave it behind.
    if (record === undefined) return undefined;
    const needing = await this.#scope.context.metadata.check.neededBy(digest, NEEDING_TOLD);
    const detail = needing.length === 0 ? undefined : `needed by ${needing.map(inWords).join(', ')}`;
    if (record.state === 'quarantined')
      return detail === undefined ? { kind: 'quarantined-unneeded' } : { kind: 'quarantined', detail };
    return {
      kind: 'blob-missing',
      detail: detail ?? 'no manifest needs it',
      repair: () => this.#setAside(digest, undefined, 'its bytes are gone'),
    };
  }

  async #damaged(digest: Digest, seen: BlobStat, record: ContentRecord | undefined): Promise<Fault> {
    const needing = await this.#scope.context.metadata.check.neededBy(digest, NEEDING_TOLD);
    const details = [
      ...(record === undefined || record.size === seen.size ? [] : [`${seen.size} bytes instead of ${record.size}`]),
      ...(needing.length === 0 ? [] : [`needed by ${needing.map(inWords).join(', ')}`]),
    ];
    return {
      kind: 'blob-corrupt',
      isQuarantined: record?.state === 'quarantined',
      ...(details.length > 0 && { detail: details.join('; ') }),
      repair: () => this.#setAside(digest, seen, 'its bytes have another digest'),
    };
  }

  async #setAside(digest: Digest, seen: BlobStat | undefined, cause: string): Promise<boolean> {
    const handled = await handleDamage(this.#scope.context, { digest, seen, cause });
    return handled === 'quarantined' || handled === 'repaired';
  }

  #rightBytes(digest: Digest, record: ContentRecord | undefined, size: number): Fault | undefined {
    const { context } = this.#scope;
    const { metadata, now } = context;
    if (record === undefined) {
      const adopt = async () => {
        await metadata.write('relaxed', async (tx) => {
          await metadata.blobs.upsert(tx, { digest, size, now: now(), verifiedAt: undefined });
          await metadata.collection.queue(tx, digest, now());
        });
        return true;
      };
      return { kind: 'blob-unknown', detail: `${size} bytes`, repair: adopt };
    }
    if (record.state === 'quarantined') return { kind: 'blob-healed', repair: () => reconsider(context, digest) };
    if (record.size === size) return undefined;
    const resize = async () => {
      await metadata.write('relaxed', (tx) => metadata.check.setSize(tx, digest, size));
      return true;
    };
    return { kind: 'blob-wrong-size', detail: `${record.size} in the index, ${size} in the store`, repair: resize };
  }

  async #queued(digest: Digest): Promise<void> {
    const { context, isRepairing, report } = this.#scope;
    const { metadata, now } = context;
    if (!(await metadata.collection.isForgotten(digest))) return;
    if (isRepairing) await metadata.write('relaxed', (tx) => metadata.collection.queue(tx, digest, now()));
    report.add('garbage-unqueued', { digest }, isRepairing);
  }
}

export function inWords({ repository, digest, tag }: Needing): string {
  return tag === undefined ? `${repository}@${digest}` : `${repository}:${tag}`;
}
