import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { temporaryDirectory } from '../harness/process.ts';
import { run } from './command.ts';
import { IMAGES, plainImage, TAG } from './images.ts';
import { verifyLayout, type Manifest } from './layout.ts';
import { publish } from './publish.ts';
import { lackedByDistribution, startRegistry, untilMounted, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingTools, tool } from './tools.ts';
import { manifestStatus, tagsOf, verifyPushed, verifyStored } from './verify.ts';

const SBOM = 'application/vnd.example.sbom.v1';
const SIGNATURE = 'application/vnd.example.signature.v1';

clientSuite('regctl', missingTools('regctl'), () => {
  const resources = new AsyncDisposableStack();
  let registry: Registry;
  let directory: string;

  const regctl = async (...args: readonly string[]) => regctlWithInput('', ...args);
  const regctlWithInput = async (input: string, ...args: readonly string[]) => {
    const host = ['--host', `reg=${registry.host},tls=disabled`];
    return (await run(tool('regctl'), [...host, ...args], { input, env: { HOME: directory } })).stdout;
  };
  const remote = (repository: string, reference = `:${TAG}`) => `${registry.host}/${repository}${reference}`;

  async function referrersOf(image: string, ...more: readonly string[]): Promise<readonly (string | undefined)[]> {
    const format = ['--format', '{{jsonPretty .Manifest}}'];
    const list: Manifest = JSON.parse(await regctl('artifact', 'list', ...format, ...more, image));
    return (list.manifests ?? []).map(({ digest }) => digest);
  }

  before(async () => {
    registry = resources.use(await startRegistry());
    directory = resources.use(await temporaryDirectory('entrepot-regctl-')).path;
  });
  after(() => resources.disposeAsync());

  it('says its version', async (t) => t.diagnostic(`regctl ${await regctl('version', '--format', '{{.VCSTag}}')}`));

  for (const [kind, build] of Object.entries(IMAGES)) {
    it(`copies the ${kind} in, and out again by tag and by digest`, async () => {
      const image = await build();
      const repository = `regctl/${image.name}`;
      await regctl('image', 'copy', `ocidir://${image.directory}:${TAG}`, remote(repository));
      await verifyPushed(registry, repository, image, { sameDigest: true });
      for (const [index, reference] of [`:${TAG}`, `@${image.digest}`].entries()) {
        const layout = path.join(directory, `${image.name}-${index}`);
        await regctl('image', 'copy', remote(repository, reference), `ocidir://${layout}:${TAG}`);
        await verifyLayout(layout, image.digest);
      }
    });
  }

  it('puts artifacts on an image and lists them', { skip: lackedByDistribution('referrers API') }, async () => {
    const image = await plainImage();
    await publish(registry, 'regctl/subject', image);
    const subject = ['--subject', remote('regctl/subject'), '--format', '{{.Manifest.GetDescriptor.Digest}}'];
    const sbom = await regctlWithInput('{}', 'artifact', 'put', '--artifact-type', SBOM, ...subject);
    const signature = await regctlWithInput('{}', 'artifact', 'put', '--artifact-type', SIGNATURE, ...subject);
    const { manifest } = await verifyStored(registry, 'regctl/subject', sbom);
    assert.equal(manifest.subject?.digest, image.digest);
    const all = await referrersOf(remote('regctl/subject'));
    assert.deepEqual(new Set(all), new Set([sbom, signature]));
    const filtered = await referrersOf(remote('regctl/subject'), '--filter-artifact-type', SIGNATURE);
    assert.deepEqual(filtered, [signature]);
    assert.deepEqual(await tagsOf(registry, 'regctl/subject'), [TAG]);
  });

  it('mounts the blobs of a copy within the registry', { skip: lackedByDistribution('access log here') }, async () => {
    const image = await plainImage();
    await publish(registry, 'regctl/source', image);
    await regctl('image', 'copy', remote('regctl/source'), remote('regctl/mounted'));
    await untilMounted(registry, 'regctl/mounted');
    await verifyPushed(registry, 'regctl/mounted', image, { sameDigest: true });
  });

  it('lists tags and repositories', async () => {
    await publish(registry, 'regctl/listed', await plainImage());
    await regctl('image', 'copy', remote('regctl/listed'), remote('regctl/listed', ':v2'));
    assert.deepEqual((await regctl('tag', 'ls', remote('regctl/listed', ''))).split('\n'), ['v1', 'v2']);
    const repositories = (await regctl('repo', 'ls', registry.host)).split('\n');
    assert.ok(repositories.includes('regctl/listed'), repositories.join());
  });

  it('deletes a manifest', async () => {
    const { digest } = await plainImage();
    await publish(registry, 'regctl/deleted', await plainImage());
    await regctl('manifest', 'delete', remote('regctl/deleted', `@${digest}`));
    assert.equal(await manifestStatus(registry, 'regctl/deleted', digest), 404);
    assert.equal(await manifestStatus(registry, 'regctl/deleted', TAG), 404);
  });

  // On a registry that cannot delete a tag alone, regctl moves the tag to a manifest made up for it and deletes that.
  it('deletes a tag alone', async () => {
    const image = await plainImage();
    await publish(registry, 'regctl/untagged', image);
    await regctl('image', 'copy', remote('regctl/untagged'), remote('regctl/untagged', ':v2'));
    await regctl('tag', 'delete', remote('regctl/untagged'));
    assert.deepEqual(await tagsOf(registry, 'regctl/untagged'), ['v2']);
    await verifyPushed(registry, 'regctl/untagged', image, { sameDigest: true, reference: 'v2' });
  });
});
