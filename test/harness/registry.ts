import { createHash, randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { parseDigest, type Digest } from '../../oci/digest.ts';
import { parseRepositoryName, type RepositoryName, type Tag } from '../../oci/names.ts';
import { ContentCache } from '../../registry/content-cache.ts';
import type { Context, RegistrySettings } from '../../registry/context.ts';
import { LastKnown } from '../../registry/last-known.ts';
import type { ManifestPush } from '../../registry/manifests.ts';
import { createRegistry, type Registry } from '../../registry/registry.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { beginRun } from '../../registry/store.ts';
import type { BlobDriver } from '../../storage/blobs/driver.ts';
import { openFilesystemDriver } from '../../storage/blobs/filesystem.ts';
import type { Metadata } from '../../storage/metadata/metadata.ts';
import { indexKind } from './index-kind.ts';

/** A registry over a real directory, in this process. */
export interface OpenedRegistry extends AsyncDisposable {
  readonly registry: Registry;
  readonly metadata: Metadata;
  readonly context: Context;
  readonly driver: BlobDriver;
  readonly replica: undefined;
  close(): Promise<void>;
}

export interface RegistryOptions {
  readonly root: string;
  /** Names the run; the same for all that stand for processes of one server. A new one begins a run. */
  readonly run?: string;
  readonly worker?: number;
  readonly wrap?: (driver: BlobDriver) => BlobDriver;
  readonly settings?: Partial<RegistrySettings>;
  readonly now?: () => number;
}

export async function openTestRegistry(options: RegistryOptions): Promise<OpenedRegistry> {
  const plain = await openFilesystemDriver({ root: options.root });
  const driver = options.wrap?.(plain) ?? plain;
  await mkdir(path.join(options.root, '.meta'), { recursive: true });
  const metadata = await indexKind().open(options.root);
  const run = options.run ?? randomUUID();
  const log = { info: () => {}, warn: () => {} };
  if (options.run === undefined || options.worker === 0)
    await beginRun({ driver: plain, metadata, log }, run, 'a boot');
  const context: Context = {
    ...contextParts({ driver, metadata, log, now: options.now ?? Date.now }, options.settings),
    run,
    owner: `${run}/${options.worker ?? 0}`,
  };
  const registry = createRegistry(context);
  const close = () => registry.close();
  return { registry, metadata, context, driver, replica: undefined, close, [Symbol.asyncDispose]: close };
}

/** What tests give a registry unless they say otherwise: limits that nobody meets, nothing on the side. */
export function contextParts(
  given: Pick<Context, 'driver' | 'metadata' | 'log' | 'now'>,
  settings: Partial<RegistrySettings> = {},
): Omit<Context, 'run' | 'owner'> {
  return {
    ...given,
    cache: new ContentCache(1024 * 1024),
    lastKnown: new LastKnown(given),
    settings: { ...SETTINGS, ...settings },
    unsettled: new Set(),
  };
}

const SETTINGS: RegistrySettings = {
  allowSparseImages: false,
  maxUploadSessions: 100,
  uploadExpiryMs: 3_600_000,
  collectionGraceMs: 3_600_000,
  quotas: [],
  undoMs: 0,
  retention: { tags: [], untagged: [], expiryLabels: true },
  verifyReads: 'stale',
  scrubEveryMs: 30 * 24 * 3_600_000,
  scrubBytesPerSecond: 1e9,
};

export function name(text: string): RepositoryName {
  return parseRepositoryName(text);
}

export function digestOfText(content: string | Uint8Array): Digest {
  return parseDigest(`sha256:${createHash('sha256').update(content).digest('hex')}`);
}

/** A request body of these pieces, one a batch. */
export async function* bodyOf(...pieces: readonly (string | Uint8Array)[]): AsyncGenerator<readonly Uint8Array[]> {
  for (const piece of pieces) yield [Buffer.from(piece)];
}

export const NO_CLAIM = { range: undefined, length: undefined } as const;

/** Pushes a blob in one request; its digest. */
export async function pushBlob(registry: Registry, repository: RepositoryName, content: string): Promise<Digest> {
  const digest = digestOfText(content);
  await registry.uploads.pushWhole(repository, digest, NO_CLAIM, bodyOf(content));
  return digest;
}

const descriptor = (mediaType: string, content: string) => ({
  mediaType,
  digest: digestOfText(content),
  size: Buffer.byteLength(content),
});

/** The bytes of an image manifest over blobs of this content. */
export function imageOf(config: string, ...layers: readonly string[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: descriptor('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map((layer) => descriptor('application/vnd.oci.image.layer.v1.tar', layer)),
    }),
  );
}

/** The push of a manifest under a tag, by whoever may do everything. */
export function manifestPush(repository: RepositoryName, tag: Tag, bytes: Uint8Array): ManifestPush {
  return { name: repository, reference: { tag }, tags: [], bytes, contentType: undefined, rights: EVERYTHING };
}
