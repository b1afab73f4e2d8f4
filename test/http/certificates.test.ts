import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import bcrypt from 'bcrypt';
import jwt from 'jsonwebtoken';
import { AUTHORITY, NO_OPENSSL, pairOf, type Certified } from '../harness/certificates.ts';
import type { TestService } from '../harness/service.ts';
import { MANIFEST, TYPE } from './access-table.ts';
import { basic, passwordOf } from './accounts.ts';
import { makeCertificates, startWithCertificates, type Certificates } from './certificate-service.ts';
import type { Client } from './client.ts';
import { digestOf } from './content.ts';
import { bearer, challengeOf, tokenFor } from './login.ts';
import { assertRefused } from './refusal.ts';
import { until } from './until.ts';

const RULES = [
  { who: 'anonymous', actions: 'pull', repositories: 'public/**' },
  { who: 'group:dev', actions: ['pull', 'push'], repositories: 'team/**' },
  { who: 'authenticated', actions: 'all', repositories: 'home/{user}/**' },
  { who: 'user:root', actions: 'all' },
  { who: 'robot:builder', actions: 'all', repositories: 'robots/**' },
];
const MANIFEST_PATH = '/v2/team/app/manifests/v1';

const present = (client: Client | undefined): Client => client ?? assert.fail('before it was made');

const tokenOf = (client: Client | undefined, scope: string, headers = {}) =>
  tokenFor(present(client), { realm: `${present(client).url}/token`, service: 'entrepot', scope }, headers);

describe('client certificates', { skip: NO_OPENSSL }, () => {
  const stack = new AsyncDisposableStack();
  let certificates: Certificates;
  let service: TestService;
  let users: string;
  let aliceCertificate: Certified;
  let [nobody, alice, eve, root]: Client[] = [];
  let shiftMs = 0;

  const clientOf = async (name: string, options?: Parameters<Certificates['make']>[1]) =>
    certificates.client(service, await certificates.make(name, options));

  before(async () => {
    certificates = stack.use(await makeCertificates());
    users = path.join(certificates.directory, 'users');
    await writeFile(
      users,
      ['bob', 'carol'].map((user) => `${user}:${bcrypt.hashSync(passwordOf(user), 4)}\n`).join(''),
    );
    const env = {
      ENTREPOT_ACCESS_HTPASSWD: users,
      ENTREPOT_ACCESS_GROUPS: JSON.stringify({ dev: ['alice'] }),
      ENTREPOT_ACCESS_RULES: JSON.stringify(RULES),
    };
    const access = { wait: async () => {}, now: () => Date.now() + shiftMs };
    service = stack.use(await startWithCertificates(certificates, { env, parts: { access } }));
    nobody = await certificates.client(service);
    aliceCertificate = await certificates.make('alice');
    alice = await certificates.client(service, aliceCertificate);
    [eve, root] = [await clientOf('eve'), await clientOf('root')];
    for (const name of ['team/app', 'public/app']) {
      await root.post(`/v2/${name}/blobs/uploads/?digest=${digestOf('{}')}`, '{}');
      assert.equal((await root.put(`/v2/${name}/manifests/v1`, MANIFEST, TYPE)).status, 201);
    }
  });
  after(async () => {
    await stack.disposeAsync();
    assert.deepEqual(service.log.faults, []);
  });

  it('are users in the rules, by name, by group and as authenticated', async () => {
    assert.equal((await present(alice).get('/v2/')).status, 200);
    assert.equal((await present(alice).get(MANIFEST_PATH)).status, 200);
    assert.equal((await present(alice).put('/v2/team/app/manifests/v2', MANIFEST, TYPE)).status, 201);
    assertRefused(await present(eve).get(MANIFEST_PATH), 403, 'DENIED', /no rule lets eve do this/);
    assert.equal((await present(eve).post('/v2/home/eve/app/blobs/uploads/')).status, 202);
    assertRefused(await present(eve).post('/v2/home/alice/app/blobs/uploads/'), 403, 'DENIED');
    assertRefused(await present(alice).delete(MANIFEST_PATH), 403, 'DENIED', /no rule lets alice/);
    assert.equal(service.log.entries.findLast(({ status }) => status === 201)?.user, 'alice');
  });

  it('are asked for, and not demanded', async () => {
    assertRefused(await present(nobody).get('/v2/'), 401, 'UNAUTHORIZED', /log in first/);
    assert.equal((await present(nobody).get('/v2/public/app/manifests/v1')).status, 200);
    assert.equal((await present(nobody).get('/v2/', basic('bob'))).status, 200);
    assert.equal((await present(nobody).get('/livez')).status, 200);
  });

  it('count for search, the catalog and the administration', async () => {
    const found = async (client: Client | undefined) => (await present(client).get('/v1/search?q=app')).text;
    assert.match(await found(alice), /team\/app/);
    assert.doesNotMatch(await found(eve), /team\/app/);
    assert.match((await present(alice).get('/v2/_catalog')).text, /team\/app/);
    assert.equal((await present(root).get('/api/v1/read-only')).status, 200);
    assertRefused(await present(alice).get('/api/v1/read-only'), 403, 'DENIED');
    assertRefused(await present(nobody).get('/api/v1/read-only'), 401, 'UNAUTHORIZED');
  });

  describe('that are not believed', () => {
    const client = ['extendedKeyUsage = clientAuth', 'basicConstraints = CA:FALSE'];
    const server = ['extendedKeyUsage = serverAuth', 'basicConstraints = CA:FALSE'];
    const wrong: [string, Parameters<Certificates['make']>[1] | 'impostor', RegExp][] = [
      ['of themselves', { issuer: undefined }, /not believed: it signed itself/],
      ['of another authority, of the same name', 'impostor', /not believed: none of the authorities/],
      ['that have expired', { days: -1 }, /not believed: it has expired/],
      ['of servers', { extensions: server }, /not believed: it is not meant for clients/],
      ['with two names', { subject: '/CN=alice/CN=root' }, /names nobody: it has 2 values of commonName/],
      ['without a name', { subject: '/O=root' }, /names nobody: it has no commonName/],
    ];
    for (const [which, options, reason] of wrong) {
      for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
        it(`those ${which} are refused with the reason (${maxVersion})`, async () => {
          const name = `wrong-${wrong.findIndex(([each]) => each === which)}-${maxVersion}`;
          const { impostor } = certificates;
          const subject = { subject: '/CN=root' };
          const made = await certificates.make(name, {
            ...subject,
            ...(options === 'impostor' ? { issuer: impostor } : options),
          });
          const other = await certificates.client(service, made, { maxVersion });
          for (const target of ['/v2/', MANIFEST_PATH, '/v2/public/app/manifests/v1', '/api/v1/read-only', '/token']) {
            assertRefused(await other.get(target), 401, 'UNAUTHORIZED', reason);
          }
          assertRefused(await other.get('/v1/search?q=app'), 401, 'UNAUTHORIZED', reason);
          // Other ways to log in remain.
          assert.equal((await other.get('/v2/', basic('bob'))).status, 200);
          bearer(await tokenOf(other, 'repository:team/app:pull', basic('bob')));
        });
      }
    }

    it('those for clients, and those of an authority below, are none of them', async () => {
      assert.equal((await (await clientOf('usage', { extensions: client })).get('/v2/')).status, 200);
      const below = await certificates.make('below', { extensions: AUTHORITY });
      const leaf = await certificates.make('leaf', { issuer: below });
      const alone = await certificates.client(service, leaf);
      assertRefused(await alone.get('/v2/'), 401, 'UNAUTHORIZED', /none of the authorities/);
      const chained = await certificates.client(service, undefined, await pairOf(leaf, below));
      assert.equal((await chained.get('/v2/')).status, 200);
    });

    it('what no authority issued is not believed for what stands behind it', async () => {
      const forged = await certificates.make('forged', { issuer: aliceCertificate, subject: '/CN=root' });
      const { authority } = certificates;
      const chained = await certificates.client(service, undefined, await pairOf(forged, aliceCertificate, authority));
      assertRefused(await chained.get('/v2/'), 401, 'UNAUTHORIZED', /not believed/);
    });
  });

  it('end on open connections, too', async () => {
    assert.equal((await present(alice).get('/v2/')).status, 200);
    shiftMs = 10 * 86_400_000;
    try {
      assertRefused(await present(alice).get('/v2/'), 401, 'UNAUTHORIZED', /it has expired/);
      shiftMs = -86_400_000;
      assertRefused(await present(alice).get('/v2/'), 401, 'UNAUTHORIZED', /it is not valid yet/);
    } finally {
      shiftMs = 0;
    }
    assert.equal((await present(alice).get('/v2/')).status, 200);
  });

  it('come after what a request shows itself', async () => {
    const asBob = await present(root).get(MANIFEST_PATH, basic('bob'));
    assertRefused(asBob, 403, 'DENIED', /no rule lets bob do this/);
    const wrong = await present(root).get(MANIFEST_PATH, basic('bob', 'a guess'));
    assertRefused(wrong, 401, 'UNAUTHORIZED', /the user or the password is wrong/);
    assertRefused(await present(root).get('/v2/', { Authorization: 'Nothing' }), 401, 'UNAUTHORIZED');
    assertRefused(await present(root).get('/token', basic('bob', 'a guess')), 401, 'UNAUTHORIZED');
  });

  it('that say a word of the rules are users of that name', async () => {
    const anonymous = await clientOf('anonymous');
    assert.equal((await anonymous.get('/v2/public/app/manifests/v1')).status, 200);
    assertRefused(await anonymous.get(MANIFEST_PATH), 403, 'DENIED', /no rule lets anonymous do this/);
    const group = await clientOf('group', { subject: '/CN=group:dev' });
    assertRefused(await group.get(MANIFEST_PATH), 403, 'DENIED', /no rule lets group:dev do this/);
    const robot = await clientOf('robot', { subject: '/CN=robot:builder' });
    assertRefused(await robot.get('/v2/robots/app/manifests/v1'), 403, 'DENIED', /no rule lets robot:builder do this/);
    const user = await clientOf('user', { subject: '/CN=user:root' });
    assertRefused(await user.get(MANIFEST_PATH), 403, 'DENIED');
  });

  it('get tokens, which are good without them', async () => {
    const challenge = challengeOf(await present(nobody).put(MANIFEST_PATH, MANIFEST, TYPE));
    assert.equal(challenge['realm'], `https://127.0.0.1:${service.port}/token`);
    const issued = await tokenFor(present(alice), challenge);
    const token = bearer(issued);
    const put = await present(nobody).put('/v2/team/app/manifests/v1', MANIFEST, { ...TYPE, ...token });
    assert.equal(put.status, 201);
    assertRefused(
      await present(nobody).delete(MANIFEST_PATH, token),
      401,
      'UNAUTHORIZED',
      /no rule lets alice do this/,
    );
    const claims = jwt.decode(token.Authorization.slice('Bearer '.length), { json: true });
    assert.equal(claims?.['sub'], 'alice');
    assert.equal(claims?.['via'], 'certificate');
    assert.equal((await present(nobody).get(MANIFEST_PATH, bearer(await tokenOf(eve, '')))).status, 401);
    shiftMs = 400_000;
    const late = await present(nobody).get(MANIFEST_PATH, token);
    shiftMs = 0;
    assertRefused(late, 401, 'UNAUTHORIZED', /not valid any more/);
  });

  it('get no refresh token, also where there is an account of that name', async () => {
    const bob = await clientOf('bob');
    const get = await bob.get('/token?offline_token=true&service=entrepot');
    assert.equal((get.json() as { refresh_token?: string }).refresh_token, undefined);
    const withPassword = await bob.get('/token?offline_token=true&service=entrepot', basic('bob'));
    assert.match((withPassword.json() as { refresh_token: string }).refresh_token, /^entrepot_rt_/);
  });

  it('leave a token of a password to end with its account', async () => {
    const scope = 'registry:catalog:*';
    const carol = await clientOf('carol');
    const ofPassword = bearer(await tokenOf(carol, scope, basic('carol')));
    const ofCertificate = bearer(await tokenOf(carol, scope));
    assert.equal((await present(nobody).get('/v2/', ofPassword)).status, 200);
    await writeFile(users, `bob:${bcrypt.hashSync(passwordOf('bob'), 4)}\n`);
    await until('the account to go', async () => (await present(nobody).get('/v2/', ofPassword)).status === 401);
    assert.equal((await present(nobody).get('/v2/', ofCertificate)).status, 200);
  });

  it('stand in the audit, those that are refused as well', async () => {
    const file = path.join(certificates.directory, 'audit.log');
    const start = (await readFile(file, 'utf8')).length;
    const expired = await certificates.make('audited', { subject: '/CN=root', days: -1 });
    const late = await certificates.client(service, expired);
    await present(nobody).get(MANIFEST_PATH);
    await present(alice).get(MANIFEST_PATH);
    await present(eve).get(MANIFEST_PATH);
    await late.get(MANIFEST_PATH);
    await late.get('/api/v1/read-only');
    await late.get('/token');
    await tokenOf(alice, 'repository:team/app:pull');
    await present(root).get('/api/v1/read-only');
    const lines = (await readFile(file, 'utf8')).slice(start).trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => {
        const { user = '-', credential, action, subject = '-', outcome } = JSON.parse(line) as Record<string, string>;
        return [user, credential, action, subject, outcome].join(' ');
      }),
      [
        'alice certificate pull v1 done',
        'eve certificate pull v1 refused',
        '- certificate pull v1 refused',
        '- certificate admin - refused',
        '- certificate login - refused',
        'alice certificate login repository:team/app:pull done',
        'root certificate admin - done',
      ],
    );
  });
});

describe('client certificates alone', { skip: NO_OPENSSL }, () => {
  const stack = new AsyncDisposableStack();
  let certificates: Certificates;

  before(async () => void (certificates = stack.use(await makeCertificates())));
  after(() => stack.disposeAsync());

  it('let whoever shows one do everything, and nobody else', async () => {
    await using service = await startWithCertificates(certificates, { driver: 'memory' });
    const any = await certificates.client(service, await certificates.make('any'));
    assert.equal((await any.post('/v2/any/app/blobs/uploads/')).status, 202);
    assert.equal((await any.put('/api/v1/read-only', '{"readOnly":false}')).status, 200);
    const nobody = await certificates.client(service);
    assertRefused(await nobody.post('/v2/any/app/blobs/uploads/'), 401, 'UNAUTHORIZED');
    assertRefused(await nobody.get('/v2/', basic('any')), 401, 'UNAUTHORIZED');
  });

  it('name their users by what access.certificateUser says', async () => {
    const rules = [{ who: ['user:spiffe://example.com/ci', 'group:ci'], actions: 'pull' }];
    const env = {
      ENTREPOT_ACCESS_CERTIFICATE_USER: 'uri',
      ENTREPOT_ACCESS_RULES: JSON.stringify(rules),
      ENTREPOT_ACCESS_GROUPS: JSON.stringify({ ci: ['spiffe://example.com/other'] }),
    };
    await using service = await startWithCertificates(certificates, { driver: 'memory', env });
    const get = async (name: string, ...names: readonly string[]) => {
      const client = await certificates.client(service, await certificates.make(name, { names }));
      return client.get('/v2/app/manifests/v1');
    };
    assertRefused(await get('ci', 'URI.1 = spiffe://example.com/ci'), 404, 'MANIFEST_UNKNOWN');
    assertRefused(await get('other', 'URI.1 = spiffe://example.com/other'), 404, 'MANIFEST_UNKNOWN');
    assertRefused(await get('stranger', 'URI.1 = spiffe://example.com/x'), 403, 'DENIED', /lets spiffe:\/\/example/);
    assertRefused(await get('unnamed'), 401, 'UNAUTHORIZED', /it has no uri/);
  });

  it('of an authority that is taken away end, on open connections too', { timeout: 60_000 }, async () => {
    const file = path.join(certificates.directory, 'authorities.pem');
    const [own, successor] = await Promise.all(
      [certificates.authority, certificates.impostor].map(({ certificate }) => readFile(certificate, 'utf8')),
    );
    await writeFile(file, own ?? '');
    const env = { ENTREPOT_HTTP_TLS_CLIENT_AUTHORITIES: file };
    await using service = await startWithCertificates(certificates, { driver: 'memory', env });
    const old = await certificates.client(service, await certificates.make('old'));
    const next = await certificates.client(
      service,
      await certificates.make('next', { issuer: certificates.impostor }),
      {
        keepAlive: false,
      },
    );
    assert.equal((await old.get('/v2/')).status, 200);
    assertRefused(await next.get('/v2/'), 401, 'UNAUTHORIZED');
    await writeFile(file, successor ?? '');
    await until('the new authority', async () => (await next.get('/v2/')).status === 200);
    assertRefused(await old.get('/v2/'), 401, 'UNAUTHORIZED', /not believed/);
    await writeFile(file, 'nothing');
    await until('the fault', () => service.log.lines.some(({ message }) => message.includes('cannot be used')));
    assert.equal((await next.get('/v2/')).status, 200);
  });
});
