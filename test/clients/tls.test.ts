import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { get, type RequestOptions } from 'node:https';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { freePort, PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';
import { makeCertificate, type Certificate } from './certificate.ts';
import { run } from './command.ts';
import { openContainersEnvironment, type ContainersEnvironment } from './containers-storage.ts';
import { startDaemon } from './daemon.ts';
import { startDocker } from './dockerd.ts';
import { manyLayersImage, TAG } from './images.ts';
import { verifyLayout } from './layout.ts';
import { lackedByDistribution } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingTools, missingToolsOrRoot, tool } from './tools.ts';

clientSuite('TLS', lackedByDistribution('certificate here') || missingTools('openssl', 'skopeo'), () => {
  const resources = new AsyncDisposableStack();
  let host: string;
  let certificate: Certificate;
  let containers: ContainersEnvironment;

  const skopeo = (...args: readonly string[]) => run(tool('skopeo'), args, { env: containers.env });
  const remote = (repository: string) => `docker://${host}/${repository}:${TAG}`;
  const trusting = (side: 'src' | 'dest') => `--${side}-cert-dir=${certificate.authorityDirectory}`;

  before(async () => {
    host = `127.0.0.1:${await freePort()}`;
    const { path: directory } = resources.use(await temporaryDirectory('entrepot-tls-'));
    await mkdir(path.join(directory, 'root'));
    certificate = await makeCertificate(directory);
    resources.use(await startWithCertificate(host, path.join(directory, 'root'), certificate));
    // Nothing is said of this registry, least of all that it may be insecure.
    containers = resources.use(await openContainersEnvironment('elsewhere.invalid'));
  });
  after(() => resources.disposeAsync());

  it('is refused by skopeo while the authority is unknown', async () => {
    const image = await manyLayersImage();
    const pushed = skopeo('copy', `oci:${image.directory}:${TAG}`, remote('tls/refused'));
    await assert.rejects(pushed, /certificate signed by unknown authority/);
  });

  it('carries a push and a pull by skopeo', async () => {
    const image = await manyLayersImage();
    await skopeo('copy', trusting('dest'), `oci:${image.directory}:${TAG}`, remote('tls/skopeo'));
    const layout = path.join(containers.directory, 'pulled');
    await skopeo('copy', trusting('src'), remote('tls/skopeo'), `oci:${layout}:${TAG}`);
    await verifyLayout(layout, image.digest);
  });

  // dockerd checks no certificate of a loopback address, so this is about the wire alone.
  const skip = missingToolsOrRoot('docker', 'dockerd', 'containerd', 'runc');
  it('carries a pull and a push by docker', { skip }, async () => {
    const image = await manyLayersImage();
    await skopeo('copy', trusting('dest'), `oci:${image.directory}:${TAG}`, remote('tls/docker'));
    await using engine = await startDocker();
    const reference = `${host}/tls/docker:${TAG}`;
    await engine.docker(['pull', '--quiet', reference]);
    const { stdout } = await engine.docker(['image', 'inspect', '--format', '{{json .RootFS.Layers}}', reference]);
    assert.deepEqual(JSON.parse(stdout), image.diffIds[0]);
    await engine.docker(['tag', reference, `${host}/tls/docker-pushed:${TAG}`]);
    await engine.docker(['push', '--quiet', `${host}/tls/docker-pushed:${TAG}`]);
    await skopeo('inspect', `--cert-dir=${certificate.authorityDirectory}`, remote('tls/docker-pushed'));
  });
});

// The harness waits for an answer over plain HTTP, which this server never gives.
async function startWithCertificate(host: string, root: string, files: Certificate): Promise<AsyncDisposable> {
  const args = [path.join(PROJECT_ROOT, 'cli/main.mjs'), 'serve', '--address', host, '--root', root];
  const env = { ENTREPOT_HTTP_TLS_CERTIFICATE: files.certificate, ENTREPOT_HTTP_TLS_KEY: files.key };
  const ca = await readFile(files.authority);
  return startDaemon(process.execPath, args, () => answers(`https://${host}/v2/`, { ca }), env);
}

async function answers(url: string, options: RequestOptions): Promise<void> {
  const [response] = await once(get(url, options), 'response');
  response.resume();
  if (response.statusCode !== 200) throw new Error(`${url} answers ${response.statusCode}`);
}
