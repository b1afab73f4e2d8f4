import assert from 'node:assert/strict';
import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import type { FindingKind } from '../../registry/fsck/finding.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import type { FsckReport } from '../../registry/fsck/report.ts';
import { digestOf, seededBytes, type Endpoint } from '../harness/push.ts';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { DamagedImage } from './damages.ts';
import { descriptorOf, type ImageDocument } from './documents.ts';
import type { Store } from './stores.ts';

/** What is damaged while nothing runs, what a check calls it, and whether bytes are lost for good. */
export interface Drill {
  readonly damage: (image: DrilledImage) => Promise<void>;
  readonly kind: FindingKind;
  readonly isLost: boolean;
}

const LARGE_BYTES = 400_000;

/** An image of a config, a small layer and a large one. */
export function drilledImage(seed: string): ImageDocument {
  const config = Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Labels: { seed } } }));
  const layers = [seededBytes(`${seed} small`, 3000), seededBytes(`${seed} large`, LARGE_BYTES)];
  const type = 'application/vnd.oci.image.layer.v1.tar';
  const content = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.imageManifest,
    config: descriptorOf({ bytes: config, mediaType: 'application/vnd.oci.image.config.v1+json' }),
    layers: layers.map((bytes) => descriptorOf({ bytes, mediaType: type })),
  };
  return { bytes: Buffer.from(JSON.stringify(content)), mediaType: content.mediaType, blobs: [config, ...layers] };
}

/** The files of such an image in the tree. */
export class DrilledImage extends DamagedImage {
  constructor(store: Store, name: string) {
    super(store, name, drilledImage(name));
  }

  /** The digests of everything in it. */
  get digests(): ReadonlySet<string> {
    return new Set([this.image.bytes, ...this.image.blobs].map((bytes) => digestOf(bytes)));
  }

  get large(): Uint8Array {
    return this.image.blobs[2] ?? assert.fail('an image without a large layer');
  }
}

async function flip(file: string): Promise<void> {
  const bytes = await readFile(file);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
  await writeFile(file, bytes);
}

export const DRILLS: Readonly<Record<string, Drill>> = {
  'a byte of a small blob flipped': {
    damage: (image) => flip(image.blob(image.layer)),
    kind: 'blob-corrupt',
    isLost: true,
  },
  'a byte of a large blob flipped': {
    damage: (image) => flip(image.blob(image.large)),
    kind: 'blob-corrupt',
    isLost: true,
  },
  'a byte of a manifest flipped': {
    damage: (image) => flip(image.blob(image.image.bytes)),
    kind: 'manifest-corrupt',
    isLost: false,
  },
  'a byte of the link of a layer flipped': {
    damage: (image) => flip(image.layerLink()),
    kind: 'layer-link-broken',
    isLost: false,
  },
  'a byte of the link of a tag flipped': {
    damage: async (image) => writeFile(image.tagLink(), `Sha256:${'a'.repeat(64)}`),
    kind: 'tag-link-broken',
    isLost: false,
  },
  'a small blob removed': { damage: (image) => image.loseLayer(), kind: 'blob-missing', isLost: true },
  'a large blob removed': { damage: (image) => rm(image.blob(image.large)), kind: 'blob-missing', isLost: true },
  'a large blob cut off': {
    damage: (image) => truncate(image.blob(image.large), 70_000),
    kind: 'blob-corrupt',
    isLost: true,
  },
  'a manifest removed': { damage: (image) => image.loseManifest(), kind: 'manifest-missing', isLost: false },
  'the link of a layer removed': {
    damage: (image) => rm(image.layerLink()),
    kind: 'layer-row-without-link',
    isLost: true,
  },
  'the link of a manifest removed': {
    damage: (image) => rm(image.revisionLink()),
    kind: 'manifest-row-without-link',
    isLost: true,
  },
  'the link of a tag removed': { damage: (image) => rm(image.tagLink()), kind: 'tag-row-without-link', isLost: true },
  'the link of a layer cut off': {
    damage: (image) => truncate(image.layerLink(), 20),
    kind: 'layer-link-broken',
    isLost: false,
  },
  'the link of a manifest cut off': {
    damage: (image) => truncate(image.revisionLink(), 20),
    kind: 'manifest-link-broken',
    isLost: false,
  },
  'the link of a tag cut off': {
    damage: (image) => truncate(image.tagLink(), 20),
    kind: 'tag-link-broken',
    isLost: false,
  },
};

/** `entrepot fsck` to its end, beside whatever serves the store. */
export async function fsck(
  store: Store,
  ...options: readonly string[]
): Promise<FsckReport & { readonly code: number }> {
  const args = ['fsck', '--json', '--root', store.root, ...options];
  const { code, stdout, stderr } = await runEntrepot(args, { timeoutMs: 60_000 });
  assert.ok(stdout.startsWith('{'), `${stdout}${stderr}`);
  return { ...(JSON.parse(stdout) as FsckReport), code: code ?? -1 };
}

/** What came of a request: the bytes, or `refused` in one of the forms that no client takes for them. */
export async function answerOf(server: Endpoint, path: string): Promise<Buffer | 'refused'> {
  const headers = { Accept: Object.values(MEDIA_TYPES).join(', ') };
  let response: Response;
  let body: Buffer;
  try {
    response = await fetch(new URL(path, server.url), { headers });
    body = Buffer.from(await response.arrayBuffer());
  } catch {
    // Cut off in the middle.
    return 'refused';
  }
  if (response.status === 200) return body;
  // Where it is found only now the answer is 503, once.
  assert.ok(response.status === 404 || response.status === 503, `${path}: ${response.status} ${body.toString()}`);
  return 'refused';
}
