import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { htpasswdFile, passwordOf } from '../http/accounts.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { startCountingProxy, type CountingProxy } from '../scale/counting-proxy.ts';
import { versitygw } from '../scale/s3-servers.ts';
import { LOGIN_CLIENTS, type LoginClient } from './login-clients.ts';
import { AGAINST_DISTRIBUTION, startRegistry, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';

const RULES = [{ who: 'writer', actions: ['pull', 'push'] }];
const WRITER = ['writer', passwordOf('writer')] as const;

for (const challenge of ['bearer', 'basic']) {
  for (const [name, { obstacle, open }] of Object.entries(LOGIN_CLIENTS)) {
    const isElsewhere = AGAINST_DISTRIBUTION && 'the bucket is for Entrepot';
    clientSuite(`${name} is sent to the bucket (${challenge})`, obstacle || versitygw.missing || isElsewhere, () => {
      const resources = new AsyncDisposableStack();
      let bucket: CountingProxy;
      let registry: Registry;
      let client: LoginClient;

      before(async () => {
        const accounts = resources.use(await htpasswdFile(['writer']));
        const { options } = resources.use(await versitygw.start());
        bucket = resources.use(await startCountingProxy(options.endpoint ?? '', { isStrict: true }));
        registry = resources.use(
          await startRegistry({
            ...s3Environment(options),
            ENTREPOT_STORAGE_S3_REDIRECT_ENABLED: 'true',
            // Of another name than the registry: regctl sends its token on to the same host, whatever the port is.
            ENTREPOT_STORAGE_S3_REDIRECT_ENDPOINT: bucket.endpoint.replace('127.0.0.1', 'localhost'),
            ENTREPOT_ACCESS_HTPASSWD: accounts.path,
            ENTREPOT_ACCESS_RULES: JSON.stringify(RULES),
            ENTREPOT_ACCESS_CHALLENGE: challenge,
          }),
        );
        client = resources.use(await open(registry.host));
      });
      after(() => resources.disposeAsync());

      it('fetches a layer there', async () => {
        await client.login?.(...WRITER);
        await client.push('team/app', ...WRITER);
        const earlier = bucket.requests.length;
        await client.pull('team/app', ...WRITER);
        const fetched = bucket.requests.slice(earlier);
        assert.ok(fetched.length > 0, 'nothing was fetched from the bucket');
        for (const request of fetched) assert.match(request, /^GET .*\/blobs\/sha256\/.* X-Amz-Signature/);
      });
    });
  }
}
