import assert from 'node:assert/strict';
import { algorithmOf, parseDigest, type Digest } from '../../oci/digest.ts';
import { parseTag, type RepositoryName } from '../../oci/names.ts';
import { digestOfReader } from '../../registry/hashing.ts';
import type { Registry } from '../../registry/registry.ts';
import { EVERYTHING } from '../../registry/rights.ts';
import { blobKey, layerLinkKey } from '../../storage/layout.ts';
import {
  digestOfText,
  imageOf,
  manifestPush,
  openTestRegistry,
  pushBlob,
  type RegistryOptions,
} from '../harness/registry.ts';

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
export const UNDO = 7 * DAY;

/** A registry that keeps what is deleted for a week, whose time stands still until it is told to go on. */
export async function openUndo(root: string, options: Partial<RegistryOptions> = {}, clock = newClock()) {
  const settings = { undoMs: UNDO, ...options.settings };
  const opened = await openTestRegistry({ root, now: () => clock.now, ...options, settings });
  const { registry, context } = opened;
  await registry.maintenance.verifyTree(async () => {});
  /** As the job does it. */
  const collect = async () => {
    await registry.undo.expire();
    const collected = await registry.collection.run(async () => true);
    return typeof collected === 'string' ? assert.fail(collected) : collected;
  };
  const planned = async () => (await registry.collection.page('', 1_000)).map(({ digest }) => digest);
  const restore = (name: RepositoryName, tag: string, digest?: Digest) =>
    registry.undo.restore({ name, tag: parseTag(tag), digest, rights: EVERYTHING });
  const isStored = async (digest: Digest) => (await context.driver.stat(blobKey(digest))) !== undefined;
  const isLinked = async (name: RepositoryName, digest: Digest) =>
    (await context.driver.stat(layerLinkKey(name, digest))) !== undefined;
  return { ...opened, clock, collect, planned, restore, isStored, isLinked };
}

export const newClock = () => ({ now: Date.parse('2026-06-01T00:00:00Z') });

/** Pushes an image of these layers with its blobs. @returns its digest */
export async function pushImage(
  registry: Registry,
  name: RepositoryName,
  reference: string | undefined,
  ...layers: readonly string[]
): Promise<Digest> {
  for (const blob of ['{}', ...layers]) await pushBlob(registry, name, blob);
  return putManifest(registry, name, reference, imageOf('{}', ...layers));
}

/** @param tag undefined: by its digest alone */
export async function putManifest(
  registry: Registry,
  name: RepositoryName,
  tag: string | undefined,
  bytes: Buffer,
): Promise<Digest> {
  const push = manifestPush(name, parseTag('unused'), bytes);
  const digest = digestOfText(bytes);
  await registry.manifests.put({ ...push, reference: tag === undefined ? { digest } : { tag: parseTag(tag) } });
  return digest;
}

/** The bytes of an index over manifests. */
export function indexOf(...children: readonly Buffer[]): Buffer {
  const manifests = children.map((bytes) => {
    const { mediaType } = JSON.parse(bytes.toString()) as { mediaType: string };
    return { mediaType, digest: digestOfText(bytes), size: bytes.length };
  });
  const mediaType = 'application/vnd.oci.image.index.v1+json';
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, manifests }));
}

/** An image with a subject. */
export function referrerOf(subject: Buffer, layer: string): Buffer {
  const image = JSON.parse(imageOf('{}', layer).toString()) as object;
  const { mediaType } = JSON.parse(subject.toString()) as { mediaType: string };
  return Buffer.from(
    JSON.stringify({ ...image, subject: { mediaType, digest: digestOfText(subject), size: subject.length } }),
  );
}

/** Reads everything of an image as a client does, and hashes all of it. @returns how many manifests and blobs it were */
export async function pullWhole(registry: Registry, name: RepositoryName, reference: string): Promise<number> {
  const parsed = reference.includes(':') ? { digest: parseDigest(reference) } : { tag: parseTag(reference) };
  const manifest = await registry.manifests.get(name, parsed);
  const bytes = await registry.manifests.bytes(name, manifest);
  assert.equal(digestOfText(bytes), manifest.digest);
  const body = JSON.parse(Buffer.from(bytes).toString()) as Partial<Record<string, { digest: string }[]>> & {
    config?: { digest: string };
  };
  let count = 1;
  for (const { digest } of body['manifests'] ?? []) count += await pullWhole(registry, name, digest);
  const blobs = [...(body.config === undefined ? [] : [body.config]), ...(body['layers'] ?? [])];
  for (const { digest } of blobs) {
    const blob = await registry.blobs.get(name, parseDigest(digest));
    const reader = await registry.blobs.open(name, blob);
    assert.equal(await digestOfReader(algorithmOf(blob.digest), reader), blob.digest);
    count += 1;
  }
  return count;
}
