import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import type { FsckReport } from '../../registry/fsck/report.ts';
import type { Key } from '../../storage/blobs/driver.ts';
import { blobKey, layerLinkKey, revisionLinkKey, tagLinkKey } from '../../storage/layout.ts';
import { indexKind } from '../harness/index-kind.ts';
import { temporaryDirectory } from '../harness/process.ts';
import {
  digestOfText,
  imageOf,
  manifestPush,
  name,
  openTestRegistry,
  pushBlob,
  type OpenedRegistry,
  type RegistryOptions,
} from '../harness/registry.ts';

export const APP = name('team/app');
export const OTHER = name('team/other');
export const V1 = parseTag('v1');
const LARGE_BYTES = 300_000;

/** What lies in the store that a check is tried on. */
export interface Sample {
  readonly config: Digest;
  readonly small: Digest;
  /** More than is kept in memory. */
  readonly large: Digest;
  readonly largeText: string;
  readonly manifest: Digest;
  readonly manifestBytes: Uint8Array;
  /** Larger than what the index keeps the bytes of. */
  readonly bulky: Digest;
  readonly bulkyBytes: Uint8Array;
}

/** A store on a disk that is opened, damaged and checked. */
export class CheckedStore implements AsyncDisposable {
  readonly root: string;
  readonly #directory: AsyncDisposable;
  #sample: Sample | undefined;

  private constructor(root: string, directory: AsyncDisposable) {
    this.root = root;
    this.#directory = directory;
  }

  /** With an image in two repositories, and one in the first whose manifest the index does not keep. */
  static async create(): Promise<CheckedStore> {
    const directory = await temporaryDirectory();
    const store = new CheckedStore(directory.path, directory);
    await using opened = await store.open();
    store.#sample = await fill(opened);
    return store;
  }

  get sample(): Sample {
    return this.#sample ?? assert.fail('no sample yet');
  }

  open(options: Partial<RegistryOptions> = {}): Promise<OpenedRegistry> {
    return openTestRegistry({ root: this.root, ...options });
  }

  pathOf(key: Key): string {
    return path.join(this.root, key);
  }

  blob(digest: Digest): string {
    return this.pathOf(blobKey(digest));
  }

  layerLink(digest: Digest, repository: RepositoryName = APP): string {
    return this.pathOf(layerLinkKey(repository, digest));
  }

  revisionLink(digest: Digest): string {
    return this.pathOf(revisionLinkKey(APP, digest));
  }

  tagLink(): string {
    return this.pathOf(tagLinkKey(APP, V1));
  }

  /** Changes the index behind everybody's back. */
  execute(sql: string): Promise<void> {
    return indexKind().tamper(this.root, [sql]);
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.#directory[Symbol.asyncDispose]();
  }
}

async function fill({ registry }: OpenedRegistry): Promise<Sample> {
  const largeText = randomBytes(LARGE_BYTES / 2).toString('hex');
  for (const repository of [APP, OTHER]) {
    for (const text of ['{}', 'small', largeText]) await pushBlob(registry, repository, text);
  }
  const manifestBytes = imageOf('{}', 'small', largeText);
  for (const repository of [APP, OTHER]) await registry.manifests.put(manifestPush(repository, V1, manifestBytes));
  const bulkyBytes = Buffer.from(
    JSON.stringify({ ...JSON.parse(manifestBytes.toString()), annotations: { filler: 'x'.repeat(70_000) } }),
  );
  await registry.manifests.put(manifestPush(APP, parseTag('bulky'), bulkyBytes));
  return {
    config: digestOfText('{}'),
    small: digestOfText('small'),
    large: digestOfText(largeText),
    largeText,
    manifest: digestOfText(manifestBytes),
    manifestBytes,
    bulky: digestOfText(bulkyBytes),
    bulkyBytes,
  };
}

/** Checks; quick, or repairing, where that is said. */
export function fsck(
  { registry }: OpenedRegistry,
  { isRepairing = false, isQuick = false }: { isRepairing?: boolean; isQuick?: boolean } = {},
): Promise<FsckReport> {
  return registry.integrity.fsck({ isRepairing, isQuick, pause: async () => {}, tell: () => {} });
}

/** The kinds that were found, each once, sorted. */
export function kindsOf({ byKind }: FsckReport): readonly string[] {
  return Object.keys(byKind).toSorted();
}
