import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { run } from './command.ts';
import { openContainersEnvironment, type ContainersEnvironment } from './containers-storage.ts';
import { GREETING, multiPlatformImage, plainImage, SINGLE_IMAGES, TAG } from './images.ts';
import { publish } from './publish.ts';
import { machineRefuses } from './refusal.ts';
import { lackedByDistribution, startRegistry, untilMounted, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingToolsOrRoot, tool } from './tools.ts';
import { verifyPushed, verifyStored } from './verify.ts';

clientSuite('buildah', missingToolsOrRoot('buildah'), () => {
  const resources = new AsyncDisposableStack();
  let registry: Registry;
  let containers: ContainersEnvironment;

  const buildah = async (...args: readonly string[]) =>
    (await run(tool('buildah'), args, { env: containers.env, cwd: containers.directory })).stdout;
  const remote = (repository: string, reference = `:${TAG}`) => `${registry.host}/${repository}${reference}`;
  const layersOf = async (reference: string) =>
    (await buildah('inspect', '--type=image', '--format', LAYERS, reference)).trim().split(' ');

  /** Pulls into an empty storage, so that every blob comes over the wire. */
  async function pullAfresh(reference: string, ...options: readonly string[]): Promise<void> {
    await buildah('rm', '--all');
    await buildah('rmi', '--all', '--force');
    assert.equal(await buildah('images', '--quiet'), '');
    await buildah('pull', '--quiet', ...options, reference);
  }

  before(async () => {
    registry = resources.use(await startRegistry());
    containers = resources.use(await openContainersEnvironment(registry.host));
  });
  after(() => resources.disposeAsync());

  it('says its version', async (t) => t.diagnostic(await buildah('--version')));

  for (const [kind, build] of Object.entries(SINGLE_IMAGES)) {
    it(`pushes the ${kind}, and pulls it by tag and by digest`, async () => {
      const image = await build();
      const repository = `buildah/${image.name}`;
      const id = await buildah('pull', '--quiet', `oci:${image.directory}:${TAG}`);
      await buildah('push', '--quiet', id, `docker://${remote(repository)}`);
      const { digest } = await verifyPushed(registry, repository, image, { sameDigest: false });
      for (const reference of [`:${TAG}`, `@${digest}`]) {
        await pullAfresh(remote(repository, reference));
        assert.deepEqual(await layersOf(remote(repository, reference)), image.diffIds[0]);
      }
    });
  }

  it('pushes an index of two platforms, and pulls either by tag and by digest', async () => {
    const image = await multiPlatformImage();
    await buildah('manifest', 'create', 'both');
    await buildah('manifest', 'add', '--all', 'both', `oci:${image.directory}:${TAG}`);
    await buildah('manifest', 'push', '--all', 'both', `docker://${remote('buildah/both')}`);
    const { manifest, digest } = await verifyPushed(registry, 'buildah/both', image, { sameDigest: false });
    const platforms = ['amd64', 'arm64'];
    assert.deepEqual(
      manifest.manifests?.map(({ platform }) => platform?.architecture),
      platforms,
    );
    await buildah('manifest', 'rm', 'both');
    for (const [i, platform] of platforms.entries()) {
      for (const reference of [`:${TAG}`, `@${digest}`]) {
        await pullAfresh(remote('buildah/both', reference), `--platform=linux/${platform}`);
        assert.deepEqual(await layersOf(remote('buildah/both', reference)), image.diffIds[i]);
      }
    }
  });

  it('mounts blobs into a second repository', { skip: lackedByDistribution('access log here') }, async () => {
    const image = await plainImage();
    await publish(registry, 'buildah/source', image);
    await pullAfresh(remote('buildah/source'));
    await buildah('push', '--quiet', remote('buildah/source'), `docker://${remote('buildah/mounted')}`);
    await untilMounted(registry, 'buildah/mounted');
    await verifyPushed(registry, 'buildah/mounted', image, { sameDigest: false });
  });

  it('builds on an image that it pulls, runs it and pushes the result', async (t) => {
    await publish(registry, 'buildah/base', await plainImage());
    await writeFile(path.join(containers.directory, 'Containerfile'), `FROM ${remote('buildah/base')}\n${RUN}`);
    const built = buildah('build', '--quiet', '--tag', remote('buildah/built'), '.');
    const refusal = await machineRefuses(built);
    if (refusal !== undefined) return t.skip(refusal);
    await built;
    await buildah('push', '--quiet', remote('buildah/built'));
    const { manifest } = await verifyStored(registry, 'buildah/built', TAG);
    assert.equal(manifest.layers?.length, 2);
    await pullAfresh(remote('buildah/built'));
    const container = await buildah('from', remote('buildah/built'));
    assert.equal(await buildah('run', container, 'cat', '/copy'), GREETING);
  });
});

const LAYERS = '{{range .OCIv1.RootFS.DiffIDs}}{{.}} {{end}}';
const RUN = 'RUN cat /greeting > /copy\n';
