import assert from 'node:assert/strict';
import type { Digest } from '../../oci/digest.ts';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import type { RegistrySettings } from '../../registry/context.ts';
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

export const DAY_MS = 86_400_000;
export const APP = name('team/app');
export const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';

type Rules = RegistrySettings['retention'];

export const rulesOf = (
  rule: Omit<Rules['tags'][number], 'repositories' | 'tags' | 'order'> & { readonly tags?: readonly string[] },
  untagged: Rules['untagged'] = [],
): Rules => ({
  tags: [{ repositories: ['team/**'], tags: ['ci-*'], order: 'pushed', ...rule }],
  untagged,
  expiryLabels: true,
});

export interface RetainedStore extends OpenedRegistry {
  readonly root: string;
  readonly clock: { now: number };
}

/** A store whose time stands still until it is told to go on. */
export async function openRetained(retention: Rules, options: Partial<RegistryOptions> = {}): Promise<RetainedStore> {
  const directory = await temporaryDirectory();
  const clock = { now: Date.now() };
  const store = await openAgain(directory.path, clock, retention, options);
  const close = async () => {
    await store[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  };
  return { ...store, [Symbol.asyncDispose]: close };
}

export async function openAgain(
  root: string,
  clock: { now: number },
  retention: Rules,
  options: Partial<RegistryOptions> = {},
): Promise<RetainedStore> {
  const opened = await openTestRegistry({ root, now: () => clock.now, ...options, settings: { retention } });
  await opened.registry.maintenance.verifyTree(async () => {});
  return { ...opened, root, clock };
}

export const bytesOf = (layer: string) => imageOf(`{"of":"${layer}"}`, layer);

/** Pushes an image of one layer, a second after the last. */
export async function push(
  { registry, clock }: RetainedStore,
  tag: string,
  layer = tag,
  repository: RepositoryName = APP,
): Promise<Digest> {
  clock.now += 1000;
  for (const blob of [`{"of":"${layer}"}`, layer]) await pushBlob(registry, repository, blob);
  const bytes = bytesOf(layer);
  await registry.manifests.put(manifestPush(repository, parseTag(tag), bytes));
  return digestOfText(bytes);
}

/** @param tag undefined: by its digest alone */
export async function pushDocument(
  { registry }: RetainedStore,
  tag: string | undefined,
  document: unknown,
): Promise<Digest> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOfText(bytes);
  const reference = tag === undefined ? { digest } : { tag: parseTag(tag) };
  await registry.manifests.put({ ...manifestPush(APP, parseTag('x'), bytes), reference });
  return digest;
}

export async function indexDocument({ registry }: RetainedStore, children: readonly Digest[]): Promise<object> {
  const manifests = [];
  for (const digest of children) {
    const { size } = await registry.manifests.get(APP, { digest });
    manifests.push({ mediaType: MANIFEST, digest, size });
  }
  return { schemaVersion: 2, mediaType: INDEX, manifests };
}

/** Attaches a document without a tag. */
export async function attach(store: RetainedStore, subject: Digest): Promise<Digest> {
  await pushBlob(store.registry, APP, '{}');
  const { size } = await store.registry.manifests.get(APP, { digest: subject });
  return pushDocument(store, undefined, {
    schemaVersion: 2,
    mediaType: MANIFEST,
    artifactType: 'application/x.signature',
    config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOfText('{}'), size: 2 },
    layers: [],
    subject: { mediaType: MANIFEST, digest: subject, size },
  });
}

export async function isThere({ registry }: RetainedStore, digest: Digest): Promise<boolean> {
  return (await registry.manifests.find(APP, { digest })) !== undefined;
}

export async function tagsOf({ registry }: RetainedStore, repository = APP): Promise<readonly string[]> {
  return registry.tags.page(repository, '', 100);
}

/** Lets old images go. @param meanwhile done once, when it is decided and the first of them is about to go */
export async function retain({ registry }: RetainedStore, meanwhile?: () => Promise<void>) {
  const { manifests } = registry;
  const remove = manifests.delete.bind(manifests);
  let isToCome = meanwhile !== undefined;
  manifests.delete = async (...about) => {
    if (isToCome) {
      isToCome = false;
      await meanwhile?.();
    }
    return remove(...about);
  };
  const retained = await registry.retention.run(async () => true);
  manifests.delete = remove;
  assert.equal(isToCome, false, 'nothing was to go');
  return retained;
}
