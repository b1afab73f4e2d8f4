import { createCipheriv, randomBytes } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { cp, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { createLayout, sha256, writeBlob, writeIndex, writeJson, type Descriptor } from './layout.ts';
import { tarOf, type TarEntry } from './tar.ts';

/** An image on disk: an OCI layout that is a docker archive as well, as soon as `tar` packed it. */
export interface Image {
  readonly name: string;
  readonly directory: string;
  /** Of the manifest or index. */
  readonly digest: string;
  /** What the layers hold unpacked, in order; a client that packs them anew keeps these. Of each platform in turn. */
  readonly diffIds: readonly (readonly string[])[];
}

/** The tag of every image, in the layout and wherever a test pushes it. */
export const TAG = 'v1';

/** What a container of every image prints. */
export const GREETING = 'carried through the port';

const LARGE_LAYER_BYTES = 200 * 1024 * 1024;
const MANY_LAYERS = 40;
const GZIP_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip';
const CONFIG = 'application/vnd.oci.image.config.v1+json';

/** `busybox` with a few applets and a greeting. */
export const plainImage = once('plain', async (directory) => {
  const image = await writeImage(directory, 'amd64', [await busyboxLayer()]);
  await writeDockerArchive(directory, 'plain', image);
  return image;
});

/** 40 layers of a file each above busybox. */
export const manyLayersImage = once('many-layers', async (directory) => {
  const small = Array.from({ length: MANY_LAYERS - 1 }, (_, index) =>
    layerOf([textFile(`layer-${index}`, `${index}`)]),
  );
  const image = await writeImage(directory, 'amd64', [await busyboxLayer(), ...small]);
  await writeDockerArchive(directory, 'many-layers', image);
  return image;
});

/** Busybox and a layer of 200 MiB that does not compress. */
export const largeLayerImage = once('large-layer', async (directory) => {
  const tar = tarOf([{ path: 'noise', bytes: noise(LARGE_LAYER_BYTES), mode: 0o644 }]);
  // Stored, not deflated: there is nothing to gain, and it is ten times as fast.
  const image = await writeImage(directory, 'amd64', [
    await busyboxLayer(),
    { tar, bytes: gzipSync(tar, { level: 0 }) },
  ]);
  await writeDockerArchive(directory, 'large-layer', image);
  return image;
});

/** An index of an amd64 and an arm64 image. The second holds no program that could run. */
export const multiPlatformImage = once('multi-platform', async (directory) => {
  const amd64 = await writeImage(directory, 'amd64', [await busyboxLayer()]);
  const arm64 = await writeImage(directory, 'arm64', [layerOf([textFile('architecture', 'arm64')])]);
  const manifests = [onPlatform(amd64.root, 'amd64'), onPlatform(arm64.root, 'arm64')];
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPES.imageIndex, manifests };
  const root = await writeJson(directory, MEDIA_TYPES.imageIndex, index);
  return { root, diffIds: [...amd64.diffIds, ...arm64.diffIds] };
});

/** An artifact of one text file that has the plain image as its subject, which is in the layout as well. */
export const subjectArtifact = once('artifact', async (directory) => {
  const image = await plainImage();
  await cp(path.join(image.directory, 'blobs'), path.join(directory, 'blobs'), { recursive: true });
  const { size } = await stat(path.join(image.directory, 'blobs', ...image.digest.split(':')));
  const config = await writeBlob(directory, 'application/vnd.oci.empty.v1+json', Buffer.from('{}'));
  const layer = await writeBlob(directory, 'text/plain', Buffer.from('of the plain image\n'));
  const root = await writeJson(directory, MEDIA_TYPES.imageManifest, {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.imageManifest,
    artifactType: 'application/vnd.example.note.v1',
    config,
    layers: [layer],
    subject: { mediaType: MEDIA_TYPES.imageManifest, digest: image.digest, size },
  });
  return { root, diffIds: [] };
});

/** Those of `IMAGES` that an engine can load, because they are one image each. */
export const SINGLE_IMAGES = {
  'plain image': plainImage,
  'image of 40 layers': manyLayersImage,
  'image with a layer of 200 MiB': largeLayerImage,
} as const;

/** What an engine can unpack: `subjectArtifact` has nothing to unpack. */
export const CONTAINER_IMAGES = { ...SINGLE_IMAGES, 'index of two platforms': multiPlatformImage } as const;

/** One of each kind, for tests that do the same with all. */
export const IMAGES = { ...CONTAINER_IMAGES, 'artifact with a subject': subjectArtifact } as const;

interface Layer {
  readonly tar: Buffer;
  readonly bytes: Buffer;
}

interface Written {
  readonly root: Descriptor;
  readonly diffIds: Image['diffIds'];
}

interface WrittenImage extends Written {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

// One directory for the process: the suites share the images, and building them takes longer than most suites.
let shared: string | undefined;

function sharedDirectory(): string {
  if (shared !== undefined) return shared;
  // podman and buildah make an image's name of its directory, and names are in lower case.
  const name = `entrepot-images-${randomBytes(6).toString('hex')}`;
  const directory = path.join(process.env['ENTREPOT_TEST_TMP'] ?? tmpdir(), name);
  mkdirSync(directory);
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  return (shared = directory);
}

function once(name: string, write: (directory: string) => Promise<Written>): () => Promise<Image> {
  let image: Promise<Image> | undefined;
  return () => (image ??= build(name, write));
}

async function build(name: string, write: (directory: string) => Promise<Written>): Promise<Image> {
  const directory = path.join(sharedDirectory(), name);
  await createLayout(directory);
  const { root, diffIds } = await write(directory);
  await writeIndex(directory, root, TAG);
  return { name, directory, digest: root.digest, diffIds };
}

async function writeImage(directory: string, architecture: string, layers: readonly Layer[]): Promise<WrittenImage> {
  const diffIds = layers.map(({ tar }) => sha256(tar));
  const config = await writeJson(directory, CONFIG, configOf(architecture, diffIds));
  const descriptors = await Promise.all(layers.map(({ bytes }) => writeBlob(directory, GZIP_LAYER, bytes)));
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.imageManifest, config, layers: descriptors };
  const root = await writeJson(directory, MEDIA_TYPES.imageManifest, manifest);
  return { root, diffIds: [diffIds], config, layers: descriptors };
}

function configOf(architecture: string, diffIds: readonly string[]): unknown {
  const created = '1970-01-01T00:00:00Z';
  return {
    created,
    architecture,
    os: 'linux',
    config: { Cmd: ['/bin/cat', '/greeting'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: diffIds.map(() => ({ created, created_by: 'test/clients/images.ts' })),
  };
}

// `docker load` reads any archive whose manifest.json names a config and layers, wherever in the archive they are.
async function writeDockerArchive(directory: string, name: string, { config, layers }: WrittenImage): Promise<void> {
  const entry = { Config: inArchive(config), RepoTags: [`${name}:${TAG}`], Layers: layers.map(inArchive) };
  await writeFile(path.join(directory, 'manifest.json'), JSON.stringify([entry]));
}

function inArchive({ digest }: Descriptor): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function onPlatform(descriptor: Descriptor, architecture: string): Descriptor {
  return { ...descriptor, platform: { os: 'linux', architecture } };
}

async function busyboxLayer(): Promise<Layer> {
  const applets = ['sh', 'cat', 'ls'].map((applet) => ({ path: `bin/${applet}`, target: 'busybox' }));
  const busybox = { path: 'bin/busybox', bytes: await readFile('/bin/busybox') };
  const directories = ['bin/', 'dev/', 'etc/', 'proc/', 'sys/', 'tmp/'].map((name) => ({ path: name }));
  return layerOf([...directories, busybox, ...applets, textFile('greeting', GREETING)]);
}

function textFile(name: string, text: string): TarEntry {
  return { path: name, bytes: Buffer.from(`${text}\n`), mode: 0o644 };
}

function layerOf(entries: readonly TarEntry[]): Layer {
  const tar = tarOf(entries);
  return { tar, bytes: gzipSync(tar) };
}

/** The same bytes each time that no compression makes smaller: a cipher's key stream. */
function noise(length: number): Buffer {
  return createCipheriv('aes-256-ctr', Buffer.alloc(32, 1), Buffer.alloc(16)).update(Buffer.alloc(length));
}
