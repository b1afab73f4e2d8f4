import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { run } from './command.ts';
import { openContainersEnvironment, type ContainersEnvironment } from './containers-storage.ts';
import { GREETING, multiPlatformImage, plainImage, SINGLE_IMAGES, TAG } from './images.ts';
import { publish } from './publish.ts';
import { lackedByDistribution, startRegistry, untilMounted, type Registry } from './registry.ts';
import { machineRefuses } from './refusal.ts';
import { clientSuite } from './suite.ts';
import { missingToolsOrRoot, tool } from './tools.ts';
import { verifyPushed } from './verify.ts';

clientSuite('podman', missingToolsOrRoot('podman'), () => {
  const resources = new AsyncDisposableStack();
  let registry: Registry;
  let containers: ContainersEnvironment;

  const podman = async (...args: readonly string[]) =>
    (await run(tool('podman'), args, { env: containers.env })).stdout;
  const remote = (repository: string, reference = `:${TAG}`) => `${registry.host}/${repository}${reference}`;
  const layersOf = async (reference: string) =>
    (await podman('image', 'inspect', '--format', LAYERS, reference)).trim().split(' ');

  /** Pulls into an empty storage, so that every blob comes over the wire. */
  async function pullAfresh(reference: string): Promise<void> {
    await podman('rmi', '--all', '--force');
    assert.equal(await podman('images', '--quiet'), '');
    await podman('pull', '--quiet', reference);
  }

  // crun refuses a machine with both generations of cgroups, and runc one where podman may not make a cgroup.
  async function runSomehow(reference: string): Promise<string> {
    const inContainer = ['run', '--rm', '--network=none'];
    try {
      return await podman('--runtime=crun', ...inContainer, '--cgroups=disabled', reference);
    } catch {
      return await podman('--runtime=runc', ...inContainer, reference);
    }
  }

  before(async () => {
    registry = resources.use(await startRegistry());
    containers = resources.use(await openContainersEnvironment(registry.host));
  });
  after(() => resources.disposeAsync());

  it('says its version', async (t) => t.diagnostic(await podman('--version')));

  for (const [kind, build] of Object.entries(SINGLE_IMAGES)) {
    it(`pushes the ${kind}, and pulls it by tag and by digest`, async () => {
      const image = await build();
      const repository = `podman/${image.name}`;
      const digestFile = path.join(containers.directory, 'digest');
      const id = await podman('pull', '--quiet', `oci:${image.directory}:${TAG}`);
      await podman('push', '--quiet', '--digestfile', digestFile, id, remote(repository));
      const { digest } = await verifyPushed(registry, repository, image, { sameDigest: false });
      assert.equal(await readFile(digestFile, 'utf8'), digest);
      for (const reference of [`:${TAG}`, `@${digest}`]) {
        await pullAfresh(remote(repository, reference));
        assert.deepEqual(await layersOf(remote(repository, reference)), image.diffIds[0]);
      }
    });
  }

  it('pushes an index of two platforms, and pulls either', async () => {
    const image = await multiPlatformImage();
    await podman('manifest', 'create', 'both');
    await podman('manifest', 'add', '--all', 'both', `oci:${image.directory}:${TAG}`);
    await podman('manifest', 'push', '--all', 'both', `docker://${remote('podman/both')}`);
    const { manifest } = await verifyPushed(registry, 'podman/both', image, { sameDigest: false });
    assert.deepEqual(
      manifest.manifests?.map(({ platform }) => platform?.architecture),
      ['amd64', 'arm64'],
    );
    for (const [index, architecture] of ['amd64', 'arm64'].entries()) {
      await podman('pull', '--quiet', '--arch', architecture, remote('podman/both'));
      assert.deepEqual(await layersOf(remote('podman/both')), image.diffIds[index]);
    }
  });

  it('mounts blobs into a second repository', { skip: lackedByDistribution('access log here') }, async () => {
    const image = await plainImage();
    await publish(registry, 'podman/source', image);
    await pullAfresh(remote('podman/source'));
    await podman('push', '--quiet', remote('podman/source'), remote('podman/mounted'));
    await untilMounted(registry, 'podman/mounted');
    await verifyPushed(registry, 'podman/mounted', image, { sameDigest: false });
  });

  it('runs what it pulled', async (t) => {
    await publish(registry, 'podman/run', await plainImage());
    await pullAfresh(remote('podman/run'));
    const started = runSomehow(remote('podman/run'));
    const refusal = await machineRefuses(started);
    if (refusal !== undefined) return t.skip(refusal);
    assert.equal(await started, GREETING);
  });

  it('lists tags', async () => {
    await publish(registry, 'podman/listed', await plainImage());
    const listed = JSON.parse(await podman('search', '--list-tags', '--format=json', remote('podman/listed', '')));
    assert.deepEqual(listed, [{ Name: remote('podman/listed', ''), Tags: [TAG] }]);
  });

  it('searches', async () => {
    await publish(registry, 'podman/sought-after', await plainImage());
    const found = await podman('search', '--format', '{{.Name}}', `${registry.host}/sought`);
    assert.equal(found, remote('podman/sought-after', ''));
    assert.equal(await podman('search', '--format', '{{.Name}}', `${registry.host}/nothing-has-this-name`), '');
  });
});

const LAYERS = '{{range .RootFS.Layers}}{{.}} {{end}}';
