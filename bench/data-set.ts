import type { BenchBlob, BlobSource } from './blob-source.ts';
import { createClient, IMAGE_CONFIG, IMAGE_LAYER, IMAGE_MANIFEST, type Client } from './client.ts';
import type { LoadGenerators } from './load.ts';
import type { Digest } from '../oci/digest.ts';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** What the read rows read. Rows name what they need, so that a run of a few rows starts soon. */
export type Part = 'image' | 'tags-1000' | 'tags-10000' | 'catalog' | `blob-${number}`;

export const IMAGE_REPOSITORY = 'bench/image';
export const BLOB_REPOSITORY = 'bench/blobs';
export const IMAGE_TAG = 'latest';
const CATALOG_SIZE = 1000;
const LAYERS = 5;
const LAYER_BYTES = 4 * KIB;
const CONFIG = JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } });
const PARALLEL = 8;

/** Where to find what was pushed. */
export interface DataSet {
  readonly image: { readonly digest: Digest } | undefined;
  readonly blobs: ReadonlyMap<number, Digest>;
}

export interface Seeding {
  readonly host: string;
  readonly source: BlobSource;
  readonly load: LoadGenerators;
}

/** Pushes the parts through the registry's API and reads each of them back to compare. */
export async function seed(seeding: Seeding, parts: ReadonlySet<Part>): Promise<DataSet> {
  const client = createClient(seeding.host);
  const image = parts.has('image') ? { digest: await seedImage(client, seeding.source) } : undefined;
  const blobs = new Map<number, Digest>();
  for (const part of parts) {
    const size = /^blob-(\d+)$/.exec(part)?.[1];
    if (size !== undefined) blobs.set(Number(size), await seedBlob(seeding, client, Number(size)));
  }
  for (const count of [1000, 10_000] as const) {
    if (parts.has(`tags-${count}`)) await seedTags(seeding, client, count);
  }
  if (parts.has('catalog')) await seedCatalog(seeding, client);
  return { image, blobs };
}

/** An image of a config and five small layers; `nonce` makes its manifest unlike others. */
export async function pushImage(client: Client, source: BlobSource, repository: string): Promise<ImageOf> {
  const config = await client.pushBlob(repository, Buffer.from(CONFIG));
  const layers: BenchBlob[] = [];
  for (let index = 0; index < LAYERS; index++) {
    const blob = source.blob(LAYER_BYTES);
    await client.pushBlob(repository, source.bytes(blob));
    layers.push(blob);
  }
  return (nonce) => manifestOf(config, layers, nonce);
}

/** Gives a manifest of the pushed image that holds `nonce` in an annotation. */
export type ImageOf = (nonce: string) => string;

export function tagsRepository(count: number): string {
  return `bench/tags-${count}`;
}

/** Like the tags of releases, in the order of their release. */
export function tagNames(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `v1.${Math.floor(index / 100)}.${index % 100}`);
}

function manifestOf(config: Digest, layers: readonly BenchBlob[], nonce: string): string {
  return JSON.stringify({
    schemaVersion: 2,
    mediaType: IMAGE_MANIFEST,
    config: { mediaType: IMAGE_CONFIG, digest: config, size: CONFIG.length },
    layers: layers.map(({ digest, size }) => ({ mediaType: IMAGE_LAYER, digest, size })),
    annotations: { 'org.example.bench.nonce': nonce },
  });
}

async function seedImage(client: Client, source: BlobSource): Promise<Digest> {
  const imageOf = await pushImage(client, source, IMAGE_REPOSITORY);
  const digest = await client.putManifest(IMAGE_REPOSITORY, IMAGE_TAG, imageOf('seed'));
  await compare(client, `/v2/${IMAGE_REPOSITORY}/manifests/${IMAGE_TAG}`, digest);
  return digest;
}

async function seedBlob({ host, source, load }: Seeding, client: Client, size: number): Promise<Digest> {
  const blob = source.blob(size);
  const plan = [planLine(BLOB_REPOSITORY, blob)];
  await load.run('push', { host, plan, connections: 1, filler: source.fillerFile, size });
  await compare(client, `/v2/${BLOB_REPOSITORY}/blobs/${blob.digest}`, blob.digest);
  return blob.digest;
}

async function compare(client: Client, target: string, digest: Digest): Promise<void> {
  const found = await client.digestAt(target);
  if (found !== digest) throw new Error(`${target} gives ${found} instead of ${digest}`);
}

/** A line of a plan for the mode `push`. */
export function planLine(repository: string, blob: BenchBlob): string {
  return [repository, blob.digest, blob.suffix].join('\t');
}

async function seedTags({ host, source, load }: Seeding, client: Client, count: number): Promise<void> {
  const repository = tagsRepository(count);
  const imageOf = await pushImage(client, source, repository);
  const plan = tagNames(count).map((tag) =>
    [`/v2/${repository}/manifests/${tag}`, IMAGE_MANIFEST, imageOf('seed')].join('\t'),
  );
  await load.run('put', { host, plan, connections: PARALLEL });
  const listed = await client.list(`/v2/${repository}/tags/list?n=1000`, 'tags');
  if (listed.length !== count) throw new Error(`${repository} lists ${listed.length} tags instead of ${count}`);
}

/** Fills up to a thousand repositories, those of the other parts included. */
async function seedCatalog({ source }: Seeding, client: Client): Promise<void> {
  const present = await client.list('/v2/_catalog?n=1000', 'repositories');
  const names = Array.from({ length: CATALOG_SIZE - present.length }, (_, index) => `catalog/app-${index}`);
  const take = async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) await seedRepository(client, source, name);
  };
  await Promise.all(Array.from({ length: PARALLEL }, take));
  const listed = await client.list('/v2/_catalog?n=1000', 'repositories');
  if (listed.length !== CATALOG_SIZE) throw new Error(`the catalog lists ${listed.length} repositories`);
}

async function seedRepository(client: Client, source: BlobSource, name: string): Promise<void> {
  const config = await client.pushBlob(name, Buffer.from(CONFIG));
  const layer = source.blob(LAYER_BYTES);
  await client.pushBlob(name, source.bytes(layer));
  await client.putManifest(name, IMAGE_TAG, manifestOf(config, [layer], name));
}
