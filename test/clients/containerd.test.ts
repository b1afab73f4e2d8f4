import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { run } from './command.ts';
import { startContainerd, type Containerd } from './containerd.ts';
import { CONTAINER_IMAGES, GREETING, plainImage, TAG, type Image } from './images.ts';
import { publish } from './publish.ts';
import { machineRefuses } from './refusal.ts';
import { lackedByDistribution, startRegistry, untilMounted, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingToolsOrRoot, tool } from './tools.ts';
import { verifyPushed } from './verify.ts';

clientSuite('containerd', missingToolsOrRoot('containerd', 'ctr', 'runc'), () => {
  const resources = new AsyncDisposableStack();
  let registry: Registry;
  let containerd: Containerd;

  const ctr = async (...args: readonly string[]) =>
    (await run(tool('ctr'), ['--address', containerd.socket, ...args])).stdout;
  const remote = (repository: string, reference = `:${TAG}`) => `${registry.host}/${repository}${reference}`;

  /** Makes containerd hold a layout under the name that it has in the registry. */
  async function importImage(image: Image, repository: string): Promise<void> {
    const archive = path.join(containerd.directory, `${image.name}.tar`);
    await run('tar', [
      '--create',
      '--file',
      archive,
      '--directory',
      image.directory,
      'oci-layout',
      'index.json',
      'blobs',
    ]);
    await ctr('images', 'import', '--all-platforms', '--base-name', remote(repository, ''), archive);
  }

  /** Pulls into an empty content store, so that every blob comes over the wire, and has containerd look at them all. */
  async function pullAfresh(reference: string): Promise<void> {
    const names = await ctr('images', 'ls', '--quiet');
    if (names !== '') await ctr('images', 'rm', '--sync', ...names.split('\n'));
    assert.equal(await ctr('content', 'ls', '--quiet'), '');
    await ctr('images', 'pull', '--plain-http', '--all-platforms', reference);
    assert.match(await ctr('images', 'check', `name==${reference}`), /complete \(\d+\/\d+\)/);
  }

  const targetOf = async (reference: string) => (await ctr('images', 'ls', `name==${reference}`)).match(/sha256:\S+/g);

  before(async () => {
    registry = resources.use(await startRegistry());
    containerd = resources.use(await startContainerd());
  });
  after(() => resources.disposeAsync());

  it('says its version', async (t) => t.diagnostic((await run(tool('containerd'), ['--version'])).stdout));

  for (const [kind, build] of Object.entries(CONTAINER_IMAGES)) {
    it(`pushes the ${kind}, and pulls it by tag and by digest`, async () => {
      const image = await build();
      const repository = `ctr/${image.name}`;
      await importImage(image, repository);
      await ctr('images', 'push', '--plain-http', remote(repository));
      await verifyPushed(registry, repository, image, { sameDigest: true });
      for (const reference of [`:${TAG}`, `@${image.digest}`]) {
        await pullAfresh(remote(repository, reference));
        assert.ok((await targetOf(remote(repository, reference)))?.includes(image.digest));
      }
    });
  }

  it('mounts blobs into a second repository', { skip: lackedByDistribution('access log here') }, async () => {
    const image = await plainImage();
    await publish(registry, 'ctr/source', image);
    await pullAfresh(remote('ctr/source'));
    await ctr('images', 'tag', remote('ctr/source'), remote('ctr/mounted'));
    await ctr('images', 'push', '--plain-http', remote('ctr/mounted'));
    await untilMounted(registry, 'ctr/mounted');
    await verifyPushed(registry, 'ctr/mounted', image, { sameDigest: true });
  });

  it('runs what it pulled', async (t) => {
    await publish(registry, 'ctr/run', await plainImage());
    await pullAfresh(remote('ctr/run'));
    const started = ctr('run', '--rm', remote('ctr/run'), 'greeter');
    const refusal = await machineRefuses(started);
    if (refusal !== undefined) return t.skip(refusal);
    assert.equal(await started, GREETING);
  });
});
