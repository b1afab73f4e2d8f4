import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { run } from './command.ts';
import { openContainersEnvironment, type ContainersEnvironment } from './containers-storage.ts';
import { IMAGES, plainImage, TAG } from './images.ts';
import { verifyLayout } from './layout.ts';
import { publish } from './publish.ts';
import { lackedByDistribution, startRegistry, untilMounted, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingTools, tool } from './tools.ts';
import { manifestStatus, verifyPushed } from './verify.ts';

clientSuite('skopeo', missingTools('skopeo'), () => {
  const resources = new AsyncDisposableStack();
  let registry: Registry;
  let containers: ContainersEnvironment;

  const skopeo = async (...args: readonly string[]) =>
    (await run(tool('skopeo'), args, { env: containers.env })).stdout;
  const remote = (repository: string, reference = `:${TAG}`) => `docker://${registry.host}/${repository}${reference}`;

  before(async () => {
    registry = resources.use(await startRegistry());
    containers = resources.use(await openContainersEnvironment(registry.host));
  });
  after(() => resources.disposeAsync());

  it('says its version', async (t) => t.diagnostic(await skopeo('--version')));

  for (const [kind, build] of Object.entries(IMAGES)) {
    it(`copies the ${kind} in, and out again by tag and by digest`, async () => {
      const image = await build();
      const repository = `skopeo/${image.name}`;
      await skopeo('copy', '--all', `oci:${image.directory}:${TAG}`, remote(repository));
      await verifyPushed(registry, repository, image, { sameDigest: true });
      for (const reference of [`:${TAG}`, `@${image.digest}`]) {
        const directory = path.join(
          containers.directory,
          `${image.name}${reference.slice(0, 8)}`.replace(/[:@]/g, '-'),
        );
        await skopeo('copy', '--all', remote(repository, reference), `oci:${directory}:${TAG}`);
        await verifyLayout(directory, image.digest);
      }
    });
  }

  it('mounts the blobs of a copy within the registry', { skip: lackedByDistribution('access log here') }, async () => {
    const image = await plainImage();
    await publish(registry, 'skopeo/source', image);
    await skopeo('copy', remote('skopeo/source'), remote('skopeo/mounted'));
    await untilMounted(registry, 'skopeo/mounted');
    await verifyPushed(registry, 'skopeo/mounted', image, { sameDigest: true });
  });

  it('lists tags and inspects', async () => {
    const image = await plainImage();
    await publish(registry, 'skopeo/listed', image);
    await skopeo('copy', remote('skopeo/listed'), remote('skopeo/listed', ':v2'));
    const listed: { Tags: string[] } = JSON.parse(await skopeo('list-tags', remote('skopeo/listed', '')));
    assert.deepEqual(listed.Tags, ['v1', 'v2']);
    const inspected: { Digest: string } = JSON.parse(await skopeo('inspect', remote('skopeo/listed')));
    assert.equal(inspected.Digest, image.digest);
  });

  it('deletes', async () => {
    await publish(registry, 'skopeo/deleted', await plainImage());
    await skopeo('delete', remote('skopeo/deleted'));
    assert.equal(await manifestStatus(registry, 'skopeo/deleted', TAG), 404);
    await assert.rejects(skopeo('inspect', remote('skopeo/deleted')), /manifest unknown/);
  });
});
