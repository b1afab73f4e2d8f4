import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { get } from 'node:https';
import path from 'node:path';
import { after, before, it } from 'node:test';
import { AUTHORITY, certify, type Certified } from '../harness/certificates.ts';
import { freePort, PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';
import { run } from './command.ts';
import { openContainersEnvironment, type ContainersEnvironment } from './containers-storage.ts';
import { startDaemon } from './daemon.ts';
import { manyLayersImage, TAG } from './images.ts';
import { verifyLayout } from './layout.ts';
import { lackedByDistribution } from './registry.ts';
import { clientSuite } from './suite.ts';
import { missingTools, tool } from './tools.ts';

const RULES = [
  { who: 'group:dev', actions: ['pull', 'push'], repositories: 'team/**' },
  { who: 'bob', actions: 'pull', repositories: 'team/**' },
];

const obstacle = lackedByDistribution('certificates of clients here') || missingTools('openssl', 'skopeo', 'curl');

clientSuite('client certificates', obstacle, () => {
  const resources = new AsyncDisposableStack();
  let host: string;
  let directory: string;
  let server: Certified;
  let authority: Certified;
  let containers: ContainersEnvironment;

  const skopeo = (...args: readonly string[]) => run(tool('skopeo'), args, { env: containers.env });
  const reference = (repository: string) => `docker://${host}/${repository}:${TAG}`;
  /** As /etc/docker/certs.d/HOST has it: with a certificate of `user`, or with none. */
  const certDirectory = async (user: string, options?: { days: number }) => {
    const own = path.join(directory, `certs-${user}`);
    await mkdir(own);
    await copyFile(server.certificate, path.join(own, 'ca.crt'));
    if (user === 'nobody') return own;
    const made = await certify(directory, user, { issuer: authority, ...options });
    await copyFile(made.certificate, path.join(own, 'client.cert'));
    await copyFile(made.key, path.join(own, 'client.key'));
    return own;
  };

  before(async () => {
    host = `127.0.0.1:${await freePort()}`;
    directory = resources.use(await temporaryDirectory('entrepot-certificates-')).path;
    server = await certify(directory, 'server', { names: ['IP.1 = 127.0.0.1'] });
    authority = await certify(directory, 'authority', { extensions: AUTHORITY });
    resources.use(await startServer(host, directory, server, authority));
    containers = resources.use(await openContainersEnvironment('elsewhere.invalid'));
  });
  after(() => resources.disposeAsync());

  it('let skopeo push and pull without any login, and nobody without one', async () => {
    const image = await manyLayersImage();
    const source = `oci:${image.directory}:${TAG}`;
    const alice = await certDirectory('alice');
    const nobody = await certDirectory('nobody');
    await assert.rejects(skopeo('copy', `--dest-cert-dir=${nobody}`, source, reference('team/app')), /HTTP 401/);
    await skopeo('copy', `--dest-cert-dir=${alice}`, source, reference('team/app'));
    await assert.rejects(skopeo('copy', `--dest-cert-dir=${alice}`, source, reference('own/app')), /403|denied/);
    await assert.rejects(skopeo('inspect', `--cert-dir=${nobody}`, reference('team/app')), /unauthorized/);
    const layout = path.join(containers.directory, 'pulled');
    await skopeo('copy', `--src-cert-dir=${alice}`, reference('team/app'), `oci:${layout}:${TAG}`);
    await verifyLayout(layout, image.digest);
    const bob = await certDirectory('bob');
    await skopeo('inspect', `--cert-dir=${bob}`, reference('team/app'));
    await assert.rejects(skopeo('copy', `--dest-cert-dir=${bob}`, source, reference('team/app')), /403|denied/);
  });

  it('tell skopeo what is wrong with them', async () => {
    const late = await certDirectory('late', { days: -1 });
    await assert.rejects(skopeo('inspect', `--cert-dir=${late}`, reference('team/app')), /unauthorized/);
  });

  it('are shown by curl', async () => {
    const { certificate, key } = await certify(directory, 'curl', { issuer: authority, subject: '/CN=bob' });
    const ping = ['--silent', '--cacert', server.certificate, `https://${host}/v2/`];
    assert.match((await run(tool('curl'), ping)).stdout, /log in first/);
    await run(tool('curl'), ['--fail', '--cert', certificate, '--key', key, ...ping]);
  });
});

async function startServer(host: string, directory: string, server: Certified, authority: Certified) {
  const root = path.join(directory, 'root');
  await mkdir(root);
  const args = [path.join(PROJECT_ROOT, 'cli/main.mjs'), 'serve', '--address', host, '--root', root];
  const env = {
    ENTREPOT_HTTP_TLS_CERTIFICATE: server.certificate,
    ENTREPOT_HTTP_TLS_KEY: server.key,
    ENTREPOT_HTTP_TLS_CLIENT_AUTHORITIES: authority.certificate,
    ENTREPOT_ACCESS_GROUPS: JSON.stringify({ dev: ['alice'] }),
    ENTREPOT_ACCESS_RULES: JSON.stringify(RULES),
  };
  const ca = await readFile(server.certificate);
  const isReady = async () => {
    const [response] = await once(get(`https://${host}/readyz`, { ca }), 'response');
    response.resume();
    if (response.statusCode !== 200) throw new Error(`it answers ${response.statusCode}`);
  };
  return startDaemon(process.execPath, args, isReady, env);
}
