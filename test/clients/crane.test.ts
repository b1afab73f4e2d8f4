import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { temporaryDirectory } from '../harness/process.ts';
import { run } from './command.ts';
import { IMAGES, manyLayersImage, multiPlatformImage, plainImage, TAG } from './images.ts';
import { verifyLayout } from './layout.ts';
import { publish } from './publish.ts';
import { lackedByDistribution, startRegistry, untilMounted, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingTools, tool } from './tools.ts';
import { manifestStatus, tagsOf, verifyPushed } from './verify.ts';

clientSuite('crane', missingTools('crane'), () => {
  const resources = new AsyncDisposableStack();
  let registry: Registry;
  let directory: string;

  const crane = async (...args: readonly string[]) =>
    (await run(tool('crane'), args, { env: { HOME: directory, DOCKER_CONFIG: directory } })).stdout;
  const remote = (repository: string, reference = `:${TAG}`) => `${registry.host}/${repository}${reference}`;

  before(async () => {
    registry = resources.use(await startRegistry());
    directory = resources.use(await temporaryDirectory('entrepot-crane-')).path;
  });
  after(() => resources.disposeAsync());

  it('says its version', async (t) => t.diagnostic(`crane ${await crane('version')}`));

  for (const [kind, build] of Object.entries(IMAGES)) {
    it(`pushes the ${kind}, and pulls it by tag and by digest`, async () => {
      const image = await build();
      const repository = `crane/${image.name}`;
      await crane('push', image.directory, remote(repository));
      await verifyPushed(registry, repository, image, { sameDigest: true });
      for (const [index, reference] of [`:${TAG}`, `@${image.digest}`].entries()) {
        const layout = path.join(directory, `${image.name}-${index}`);
        await crane('pull', '--format=oci', remote(repository, reference), layout);
        await verifyLayout(layout, image.digest);
      }
    });
  }

  it('finds an image valid', async () => {
    await publish(registry, 'crane/validated', await manyLayersImage());
    assert.match(await crane('validate', '--remote', remote('crane/validated')), /^PASS: /);
  });

  it('mounts the blobs of a copy within the registry', { skip: lackedByDistribution('access log here') }, async () => {
    const image = await multiPlatformImage();
    await publish(registry, 'crane/source', image);
    await crane('copy', remote('crane/source'), remote('crane/mounted'));
    await untilMounted(registry, 'crane/mounted');
    await verifyPushed(registry, 'crane/mounted', image, { sameDigest: true });
  });

  it('tags, and lists tags and repositories', async () => {
    await publish(registry, 'crane/listed', await plainImage());
    await crane('tag', remote('crane/listed'), 'v2');
    assert.deepEqual((await crane('ls', remote('crane/listed', ''))).split('\n'), ['v1', 'v2']);
    const repositories = (await crane('catalog', registry.host)).split('\n');
    assert.ok(repositories.includes('crane/listed'), repositories.join());
  });

  it('deletes by digest', async () => {
    const { digest } = await plainImage();
    await publish(registry, 'crane/deleted', await plainImage());
    await crane('delete', remote('crane/deleted', `@${digest}`));
    assert.equal(await manifestStatus(registry, 'crane/deleted', digest), 404);
    await assert.rejects(crane('digest', remote('crane/deleted')), /404|MANIFEST_UNKNOWN/);
  });

  it('deletes a tag alone', { skip: lackedByDistribution('deletion of tags') }, async () => {
    const image = await plainImage();
    await publish(registry, 'crane/untagged', image);
    await crane('tag', remote('crane/untagged'), 'v2');
    await crane('delete', remote('crane/untagged'));
    assert.deepEqual(await tagsOf(registry, 'crane/untagged'), ['v2']);
    await verifyPushed(registry, 'crane/untagged', image, { sameDigest: true, reference: 'v2' });
  });
});
