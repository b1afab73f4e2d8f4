import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, describe, it } from 'node:test';
import { examine } from '../../cli/doctor.ts';
import type { Finding } from '../../cli/doctor/finding.ts';
import { readConfig } from '../../config/load.ts';
import { AUTHORITY, certify, NO_OPENSSL, pairOf } from '../harness/certificates.ts';
import { startFakeS3, type FakeS3 } from '../harness/fake-s3/server.ts';
import { freePort, temporaryDirectory } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';

const ENDPOINT = 'ENTREPOT_STORAGE_S3_REDIRECT_ENDPOINT';

async function findingsOf(fake: FakeS3, overrides: Readonly<Record<string, string>>): Promise<readonly Finding[]> {
  await using directory = await temporaryDirectory();
  const env = {
    ...s3Environment(fake.options),
    ENTREPOT_ROOT: directory.path,
    ENTREPOT_ADDRESS: `127.0.0.1:${await freePort()}`,
    ENTREPOT_STORAGE_S3_REDIRECT_ENABLED: 'true',
    ...overrides,
  };
  const findings = await examine(await readConfig({ env }));
  assert.deepEqual(fake.objects.list('', '', '', 1000).entries, []);
  return findings.filter(({ subject }) => subject === 'redirects');
}

async function problemOf(fake: FakeS3, endpoint: string, more: Readonly<Record<string, string>> = {}) {
  const [finding, ...others] = await findingsOf(fake, { [ENDPOINT]: endpoint, ...more });
  assert.deepEqual(others, []);
  assert.ok(finding?.level === 'problem', JSON.stringify(finding));
  assert.match(finding.saw, /tried from this machine only/);
  return finding;
}

/** What clients reach in place of the S3 server. */
async function startPublic(listener: RequestListener) {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

const error = (code: string) => `<Error><Code>${code}</Code></Error>`;

const answering = (status: number, body: string) => (_request: IncomingMessage, response: ServerResponse) =>
  response.writeHead(status).end(body);

/** By another name, as far as clients can tell. */
const passOn = (fake: FakeS3) => (request: IncomingMessage, response: ServerResponse) =>
  void fetch(`${fake.options.endpoint}${request.url}`).then(async (answer) => response.end(await answer.bytes()));

describe('entrepot doctor, of redirects to a bucket', () => {
  it('says nothing of them where there are none, and of a bucket that nothing can be put into', async () => {
    await using fake = await startFakeS3();
    assert.deepEqual(await findingsOf(fake, { ENTREPOT_STORAGE_S3_REDIRECT_ENABLED: 'false' }), []);
    fake.plan((operation) => (operation === 'PutObject' ? 'denied' : undefined));
    assert.deepEqual(await findingsOf(fake, {}), []);
  });

  it('fetches an object at the public endpoint, by a presigned address, and leaves nothing in the bucket', async () => {
    await using fake = await startFakeS3();
    const asked: string[] = [];
    await using clients = await startPublic((request, response) => {
      asked.push(request.url ?? '');
      passOn(fake)(request, response);
    });
    const [finding] = await findingsOf(fake, { [ENDPOINT]: clients.endpoint, ENTREPOT_STORAGE_S3_PREFIX: 'team' });
    assert.equal(finding?.level, 'ok', JSON.stringify(finding));
    assert.equal(finding.saw, `clients get blobs at ${clients.endpoint}, tried from this machine only`);
    assert.equal(asked.length, 1);
    assert.match(asked[0] ?? '', /^\/registry\/team\/\.meta\/probe\/.*X-Amz-Signature=/);
  });

  it('does so at the endpoint of the registry where there is no other', async () => {
    await using fake = await startFakeS3();
    const [finding] = await findingsOf(fake, {});
    assert.deepEqual(finding, {
      level: 'ok',
      subject: 'redirects',
      saw: `clients get blobs at ${fake.options.endpoint}, tried from this machine only`,
    });
  });

  it('says what to change where the answer is a refusal, or of something else', async () => {
    await using fake = await startFakeS3();
    for (const [status, body, saw, advice] of [
      [403, error('SignatureDoesNotMatch'), /answers 403 SignatureDoesNotMatch/, /pass the header Host on as it came/],
      [403, 'no', /answers 403$/, /Host/],
      [404, error('NoSuchBucket'), /answers 404 NoSuchBucket/, /storage\.s3\.redirect\.endpoint lead to the S3 server/],
      [301, '', /answers 301/, /storage\.s3\.redirect\.endpoint lead/],
      [200, '<html>It works</html>', /other bytes/, /storage\.s3\.redirect\.endpoint lead/],
      [200, 'x'.repeat(10_000_000), /other bytes/, /storage\.s3\.redirect\.endpoint lead/],
    ] as const) {
      await using clients = await startPublic(answering(status, body));
      const finding = await problemOf(fake, clients.endpoint);
      assert.match(finding.saw, saw);
      assert.match(finding.advice, advice);
    }
  });

  it('says what to change where there is no answer', async () => {
    await using fake = await startFakeS3();
    const nowhere = await problemOf(fake, 'https://s3.nowhere.invalid');
    assert.match(nowhere.saw, /the name s3\.nowhere\.invalid is not resolved \((ENOTFOUND|EAI_AGAIN)\)/);
    assert.match(nowhere.advice, /storage\.s3\.redirect\.endpoint, or let the DNS/);
    const closed = await problemOf(fake, `http://127.0.0.1:${await freePort()}`);
    assert.match(closed.saw, /not reached .*ECONNREFUSED/);
    assert.match(closed.advice, /storage\.s3\.redirect\.endpoint, or open the way/);
    await using plain = await startPublic(answering(200, ''));
    const noTls = await problemOf(fake, plain.endpoint.replace('http:', 'https:'));
    assert.match(noTls.saw, /TLS fails/);
    assert.match(noTls.advice, /http:\/\/ or https:\/\/ included/);
  });

  it('wants a certificate that is trusted, for the name', { skip: NO_OPENSSL }, async () => {
    await using fake = await startFakeS3();
    await using directory = await temporaryDirectory();
    const authority = await certify(directory.path, 'authority', { extensions: AUTHORITY });
    const pair = await certify(directory.path, 'server', { issuer: authority, names: ['DNS.1 = localhost'] });
    const server = createTlsServer(await pairOf(pair), passOn(fake));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    after(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const trusting = { ENTREPOT_STORAGE_S3_AUTHORITIES: authority.certificate };
    const [finding] = await findingsOf(fake, { [ENDPOINT]: `https://localhost:${port}`, ...trusting });
    assert.equal(finding?.level, 'ok', JSON.stringify(finding));
    for (const [endpoint, more, saw] of [
      [`https://localhost:${port}`, {}, /TLS fails \(unable to verify the first certificate/],
      [`https://127.0.0.1:${port}`, trusting, /TLS fails \(Hostname\/IP does not match/],
    ] as const) {
      const problem = await problemOf(fake, endpoint, more);
      assert.match(problem.saw, saw);
      assert.match(problem.advice, /certificate for (localhost|127\.0\.0\.1) of an authority that clients trust/);
    }
  });
});
