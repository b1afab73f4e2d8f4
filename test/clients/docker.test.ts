import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { run } from './command.ts';
import { startDocker, type Docker } from './dockerd.ts';
import { GREETING, multiPlatformImage, plainImage, SINGLE_IMAGES, TAG, type Image } from './images.ts';
import { publish } from './publish.ts';
import { machineRefuses } from './refusal.ts';
import { lackedByDistribution, startRegistry, untilMounted, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingToolsOrRoot } from './tools.ts';
import { verifyPushed, verifyStored } from './verify.ts';

clientSuite('docker', missingToolsOrRoot('docker', 'dockerd', 'containerd', 'runc'), () => {
  const resources = new AsyncDisposableStack();
  let registry: Registry;
  let engine: Docker;

  const docker = async (...args: readonly string[]) => (await engine.docker(args)).stdout;
  const remote = (repository: string, reference = `:${TAG}`) => `${registry.host}/${repository}${reference}`;
  const layersOf = async (reference: string) =>
    (await docker('image', 'inspect', '--format', LAYERS, reference)).trim().split(' ');

  /** Makes the daemon hold an image under the name that it has in the registry. */
  async function load(image: Image, repository: string): Promise<void> {
    const archive = path.join(engine.directory, `${image.name}.tar`);
    await run('tar', ['--create', '--file', archive, '--directory', image.directory, 'manifest.json', 'blobs']);
    await docker('load', '--quiet', '--input', archive);
    await docker('tag', `${image.name}:${TAG}`, remote(repository));
  }

  /** Pulls into an empty store, so that every layer comes over the wire. */
  async function pullAfresh(reference: string, ...more: readonly string[]): Promise<void> {
    await docker('system', 'prune', '--all', '--force');
    assert.equal(await docker('images', '--quiet', '--all'), '');
    await docker('pull', '--quiet', ...more, reference);
  }

  before(async () => {
    registry = resources.use(await startRegistry());
    engine = resources.use(await startDocker({ insecureRegistry: registry.host }));
  });
  after(() => resources.disposeAsync());

  it('says its version', async (t) => {
    t.diagnostic(await docker('version', '--format', 'docker {{.Client.Version}}, dockerd {{.Server.Version}}'));
    t.diagnostic(await docker('info', '--format', 'storage driver {{.Driver}}'));
  });

  for (const [kind, build] of Object.entries(SINGLE_IMAGES)) {
    it(`pushes the ${kind}, and pulls it by tag and by digest`, async () => {
      const image = await build();
      const repository = `docker/${image.name}`;
      await load(image, repository);
      const said = await docker('push', remote(repository));
      const { digest } = await verifyPushed(registry, repository, image, { sameDigest: false });
      assert.ok(said.includes(`${TAG}: digest: ${digest} `), said);
      for (const reference of [`:${TAG}`, `@${digest}`]) {
        await pullAfresh(remote(repository, reference));
        assert.deepEqual(await layersOf(remote(repository, reference)), image.diffIds[0]);
      }
    });
  }

  it('pushes a manifest list', async () => {
    const [first, second] = [remote('docker/list', ':first'), remote('docker/list', ':second')];
    await load(await plainImage(), 'docker/list');
    await docker('tag', remote('docker/list'), first);
    await docker('push', '--quiet', first);
    await publish(registry, 'docker/list', await multiPlatformImage());
    await docker('pull', '--quiet', '--platform=linux/arm64', remote('docker/list'));
    await docker('tag', remote('docker/list'), second);
    await docker('push', '--quiet', second);
    await docker('manifest', 'create', '--insecure', remote('docker/list', ':both'), first, second);
    await docker('manifest', 'push', '--insecure', remote('docker/list', ':both'));
    const { manifest } = await verifyStored(registry, 'docker/list', 'both');
    assert.deepEqual(
      manifest.manifests?.map(({ platform }) => platform?.architecture),
      ['amd64', 'arm64'],
    );
  });

  it('pulls either platform of an index', async () => {
    const image = await multiPlatformImage();
    await publish(registry, 'docker/both', image);
    for (const [index, platform] of ['linux/amd64', 'linux/arm64'].entries()) {
      await pullAfresh(remote('docker/both'), `--platform=${platform}`);
      assert.deepEqual(await layersOf(remote('docker/both')), image.diffIds[index]);
    }
  });

  it('mounts blobs into a second repository', { skip: lackedByDistribution('access log here') }, async () => {
    const image = await plainImage();
    await publish(registry, 'docker/source', image);
    await pullAfresh(remote('docker/source'));
    await docker('tag', remote('docker/source'), remote('docker/mounted'));
    assert.match(await docker('push', remote('docker/mounted')), /Mounted from docker\//);
    await untilMounted(registry, 'docker/mounted');
    await verifyPushed(registry, 'docker/mounted', image, { sameDigest: false });
  });

  it('runs what it pulled', async (t) => {
    await publish(registry, 'docker/run', await plainImage());
    await pullAfresh(remote('docker/run'));
    const started = docker('run', '--rm', '--network=none', remote('docker/run'));
    const refusal = await machineRefuses(started);
    if (refusal !== undefined) return t.skip(refusal);
    assert.equal(await started, GREETING);
  });

  it('builds on an image that it pulls, and pushes the result', async () => {
    await publish(registry, 'docker/base', await plainImage());
    await pullAfresh(remote('docker/base'));
    const dockerfile = `FROM ${remote('docker/base')}\nENV MADE_BY=docker\n`;
    await engine.docker(['build', '--tag', remote('docker/built'), '-'], { input: dockerfile });
    await docker('push', '--quiet', remote('docker/built'));
    await verifyStored(registry, 'docker/built', TAG);
  });

  it('searches', { skip: lackedByDistribution('search') }, async () => {
    await publish(registry, 'docker/sought-after', await plainImage());
    const search = (term: string) => docker('search', '--format', '{{.Name}}', `${registry.host}/${term}`);
    assert.equal(await search('sought'), 'docker/sought-after');
    assert.equal(await search('nothing-has-this-name'), '');
  });
});

const LAYERS = '{{range .RootFS.Layers}}{{.}} {{end}}';
