import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { temporaryDirectory } from '../harness/process.ts';
import { startService } from '../harness/service.ts';
import { RawConnection } from './raw.ts';

describe('connections that never begin to speak TLS', { concurrency: true }, () => {
  const stack = new AsyncDisposableStack();
  let tls: Record<string, string>;

  before(async () => {
    const directory = stack.use(await temporaryDirectory()).path;
    const [certificate, key] = [path.join(directory, 'tls.crt'), path.join(directory, 'tls.key')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', '/CN=one'];
    await promisify(execFile)('openssl', ['req', '-x509', '-batch', ...kind, '-keyout', key, '-out', certificate]);
    tls = { ENTREPOT_HTTP_TLS_CERTIFICATE: certificate, ENTREPOT_HTTP_TLS_KEY: key };
  });
  after(() => stack.disposeAsync());

  it('are closed after the time that a header may take', async () => {
    await using service = await startService({ env: { ...tls, ENTREPOT_HTTP_HEADERS_TIMEOUT: '1s' } });
    await using connection = new RawConnection(service.port);
    await connection.untilClosed();
  });

  it('do not hold up a drain beyond its timeout', async () => {
    await using service = await startService({ env: { ...tls, ENTREPOT_HTTP_DRAIN_TIMEOUT: '100ms' } });
    await using connection = new RawConnection(service.port);
    await once(connection.socket, 'connect');
    const startedAt = performance.now();
    await service.drain();
    await connection.untilClosed();
    assert.ok(performance.now() - startedAt < 10_000, 'it waited for the handshake');
  });
});
