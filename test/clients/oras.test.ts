import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { temporaryDirectory } from '../harness/process.ts';
import { run } from './command.ts';
import { IMAGES, plainImage, TAG } from './images.ts';
import { verifyLayout, type Descriptor } from './layout.ts';
import { publish } from './publish.ts';
import { lackedByDistribution, startRegistry, untilMounted, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingTools, tool } from './tools.ts';
import { manifestStatus, tagsOf, verifyPushed, verifyStored } from './verify.ts';

const SBOM = 'application/vnd.example.sbom.v1';
const SIGNATURE = 'application/vnd.example.signature.v1';

clientSuite('oras', missingTools('oras'), () => {
  const resources = new AsyncDisposableStack();
  let registry: Registry;
  let directory: string;

  const oras = async (...args: readonly string[]) =>
    (await run(tool('oras'), args, { cwd: directory, env: { HOME: directory, DOCKER_CONFIG: directory } })).stdout;
  const remote = (repository: string, reference = `:${TAG}`) => `${registry.host}/${repository}${reference}`;

  /** Attaches a small file to an image; returns the digest of the artifact. */
  async function attach(image: string, artifactType: string): Promise<string> {
    await writeFile(path.join(directory, 'attached.txt'), `${artifactType} of ${image}\n`);
    const args = ['--plain-http', '--artifact-type', artifactType, '--format', 'json', image, 'attached.txt'];
    const attached: { digest: string } = JSON.parse(await oras('attach', ...args));
    return attached.digest;
  }

  async function discover(image: string, ...more: readonly string[]): Promise<readonly Descriptor[]> {
    const args = ['--plain-http', '--distribution-spec', 'v1.1-referrers-api', '--format', 'json', ...more, image];
    const found: { referrers?: Descriptor[] } = JSON.parse(await oras('discover', ...args));
    return found.referrers ?? [];
  }

  before(async () => {
    registry = resources.use(await startRegistry());
    directory = resources.use(await temporaryDirectory('entrepot-oras-')).path;
  });
  after(() => resources.disposeAsync());

  it('says its version', async (t) => t.diagnostic(`oras ${(await oras('version')).replaceAll(/\s+/g, ' ')}`));

  for (const [kind, build] of Object.entries(IMAGES)) {
    it(`copies the ${kind} in, and out again by tag and by digest`, async () => {
      const image = await build();
      const repository = `oras/${image.name}`;
      const source = `${image.directory}:${TAG}`;
      await oras('cp', '--no-tty', '--from-oci-layout', source, '--to-plain-http', remote(repository));
      await verifyPushed(registry, repository, image, { sameDigest: true });
      for (const [index, reference] of [`:${TAG}`, `@${image.digest}`].entries()) {
        const layout = path.join(directory, `${image.name}-${index}`);
        const target = ['--to-oci-layout', `${layout}:${TAG}`];
        await oras('cp', '--no-tty', '--from-plain-http', remote(repository, reference), ...target);
        await verifyLayout(layout, image.digest);
      }
    });
  }

  it('pushes and pulls an artifact of files', async () => {
    await writeFile(path.join(directory, 'page.txt'), 'not an image at all\n');
    const artifact = [remote('oras/artifact'), '--artifact-type', SBOM, 'page.txt:text/plain'];
    await oras('push', '--plain-http', '--no-tty', ...artifact);
    const { manifest, digest } = await verifyStored(registry, 'oras/artifact', TAG);
    assert.equal(manifest.artifactType, SBOM);
    await mkdir(path.join(directory, 'pulled'));
    await oras('pull', '--plain-http', '--no-tty', '--output', 'pulled', remote('oras/artifact', `@${digest}`));
    assert.equal(await readFile(path.join(directory, 'pulled/page.txt'), 'utf8'), 'not an image at all\n');
  });

  it('attaches artifacts and discovers them', { skip: lackedByDistribution('referrers API') }, async () => {
    const image = await plainImage();
    await publish(registry, 'oras/subject', image);
    const sbom = await attach(remote('oras/subject'), SBOM);
    const signature = await attach(remote('oras/subject'), SIGNATURE);
    const { manifest } = await verifyStored(registry, 'oras/subject', sbom);
    assert.equal(manifest.subject?.digest, image.digest);
    const all = await discover(remote('oras/subject'));
    assert.deepEqual(new Set(all.map(({ digest }) => digest)), new Set([sbom, signature]));
    const filtered = await discover(remote('oras/subject'), '--artifact-type', SIGNATURE);
    assert.deepEqual(
      filtered.map(({ digest }) => digest),
      [signature],
    );
    // With the API there, no client needs a tag to find them.
    assert.deepEqual(await tagsOf(registry, 'oras/subject'), [TAG]);
  });

  it('copies an image with its referrers', { skip: lackedByDistribution('referrers API') }, async () => {
    await publish(registry, 'oras/signed', await plainImage());
    const signature = await attach(remote('oras/signed'), SIGNATURE);
    const plain = ['--from-plain-http', '--to-plain-http'];
    await oras('cp', '--no-tty', '--recursive', ...plain, remote('oras/signed'), remote('oras/signed-copy'));
    assert.deepEqual(
      (await discover(remote('oras/signed-copy'))).map(({ digest }) => digest),
      [signature],
    );
  });

  it('mounts the blobs of a copy within the registry', { skip: lackedByDistribution('access log here') }, async () => {
    const image = await plainImage();
    await publish(registry, 'oras/source', image);
    const plain = ['--from-plain-http', '--to-plain-http'];
    await oras('cp', '--no-tty', ...plain, remote('oras/source'), remote('oras/mounted'));
    await untilMounted(registry, 'oras/mounted');
    await verifyPushed(registry, 'oras/mounted', image, { sameDigest: true });
  });

  it('tags, and lists tags and repositories', async () => {
    await publish(registry, 'oras/listed', await plainImage());
    await oras('tag', '--plain-http', remote('oras/listed'), 'v2', 'v3');
    const tags = await oras('repo', 'tags', '--plain-http', remote('oras/listed', ''));
    assert.deepEqual(tags.split('\n'), ['v1', 'v2', 'v3']);
    const repositories = (await oras('repo', 'ls', '--plain-http', registry.host)).split('\n');
    assert.ok(repositories.includes('oras/listed'), repositories.join());
  });

  it('deletes a manifest', async () => {
    const { digest } = await plainImage();
    await publish(registry, 'oras/deleted', await plainImage());
    await oras('manifest', 'delete', '--plain-http', '--force', remote('oras/deleted'));
    assert.equal(await manifestStatus(registry, 'oras/deleted', digest), 404);
    assert.equal(await manifestStatus(registry, 'oras/deleted', TAG), 404);
  });

  it('deletes a blob', async () => {
    const args = ['--plain-http', '--media-type', 'text/plain', '--size', '5'];
    await oras('blob', 'push', ...args, remote('oras/blob', `@${HELLO}`), await writeHello());
    assert.equal(
      await oras('blob', 'fetch', '--plain-http', '--output', '-', remote('oras/blob', `@${HELLO}`)),
      'hello',
    );
    await oras('blob', 'delete', '--plain-http', '--force', remote('oras/blob', `@${HELLO}`));
    const { status } = await fetch(`${registry.url}/v2/oras/blob/blobs/${HELLO}`, { method: 'HEAD' });
    assert.equal(status, 404);
  });

  async function writeHello(): Promise<string> {
    await writeFile(path.join(directory, 'hello.txt'), 'hello');
    return 'hello.txt';
  }
});

const HELLO = 'sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824';
