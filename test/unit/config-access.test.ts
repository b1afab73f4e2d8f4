import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from 'node:test';
import { parseDate } from '../../config/date.ts';
import { describeConfig, readConfig } from '../../config/load.ts';
import { faultsOfFile, withFile } from './config-files.ts';

const accessOf = (yaml: string) => withFile(yaml, async (input) => (await readConfig(input)).access);

/** Each fault in a line. */
async function faultLines(yaml: string): Promise<readonly string[]> {
  const { faults } = await faultsOfFile(yaml);
  return faults.map(({ path: key, origin, wrong, instead }) => {
    return `${key} ${origin?.replace(/.*:/, ':')} ${wrong} | ${instead}`;
  });
}

test('accounts without rules may do everything', async () => {
  const { rules, htpasswd, allowAnonymous } = await accessOf('access: {htpasswd: users}');
  assert.equal(path.basename(htpasswd ?? ''), 'users');
  assert.ok(path.isAbsolute(htpasswd ?? ''));
  assert.equal(allowAnonymous, false);
  const actions = ['pull', 'push', 'overwrite', 'delete', 'admin'];
  assert.deepEqual(rules, [{ who: ['authenticated'], actions, repositories: ['**'], tags: ['*'] }]);
});

test('rules take one or more of each, and anonymous pull with authenticated push is one line', async () => {
  const line = 'rules: [{ who: anonymous, actions: pull }, { who: authenticated, actions: all }]';
  const { rules } = await accessOf(`access:\n  htpasswd: users\n  ${line}\n`);
  assert.deepEqual(
    rules.map(({ who, actions }) => [who, actions.length]),
    [
      [['anonymous'], 1],
      [['authenticated'], 5],
    ],
  );
  const { rules: full, groups } = await accessOf(`
access:
  htpasswd: users
  groups:
    dev: [alice, bob]
  rules:
    - who: [alice, group:dev, user:authenticated]
      actions: [pull, push]
      repositories: [team/**, 'home/{user}/*']
      tags: [v*, latest]
      from: [10.0.0.0/8, 2001:db8::1]
      until: 2027-01-31
`);
  assert.deepEqual(groups, { dev: ['alice', 'bob'] });
  assert.deepEqual(full, [
    {
      who: ['user:alice', 'group:dev', 'user:authenticated'],
      actions: ['pull', 'push'],
      repositories: ['team/**', 'home/{user}/*'],
      tags: ['v*', 'latest'],
      from: ['10.0.0.0/8', '2001:db8::1'],
      untilMs: Date.parse('2027-01-31T23:59:59.999Z'),
    },
  ]);
});

test('a variable holds rules as JSON', async () => {
  const rules = '[{"who": "anonymous", "actions": "pull", "repositories": "public/**"}]';
  const { access } = await readConfig({ env: { ENTREPOT_ACCESS_RULES: rules, ENTREPOT_ADDRESS: '0.0.0.0:5000' } });
  assert.deepEqual(access.rules[0]?.repositories, ['public/**']);
});

test('each fault of a rule is told with its place and with what would do', async () => {
  const faults = await faultLines(`
access:
  htpasswd: users
  rules:
    - {who: anonymous, actions: [pull, read]}
    - {who: 'group:', actions: pull}
    - {who: alice, actions: pull, repositories: Team/*}
    - {who: alice, actions: pull, tags: '**'}
    - {who: alice, actions: pull, from: 10.0.0.0/33}
    - {who: alice, actions: pull, until: 2027-02-30}
    - {who: alice, action: pull}
    - nothing
`);
  const expected = [
    /^access\.rules\[0\]\.actions\[1\] :5 .*pull, push, overwrite, delete, admin, all, or a list of them/,
    /^access\.rules\[1\]\.who :6 "group:" will not do \| Write anonymous, authenticated, a user, group:NAME/,
    /^access\.rules\[2\]\.repositories :7 "Team\/\*" will not do \| Write a pattern such as team\/\*\*/,
    /^access\.rules\[3\]\.tags :8 /,
    /^access\.rules\[4\]\.from :9 "10\.0\.0\.0\/33" will not do/,
    /^access\.rules\[5\]\.until :10 "2027-02-30" will not do \| Write a date such as 2027-01-31/,
    /^access\.rules\[6\]\.actions :11 it is missing/,
    /^access\.rules\[6\]\.action :11 there is no such key/,
    /^access\.rules\[7\] :12 "nothing" will not do \| Write a rule, such as/,
  ];
  assert.equal(faults.length, expected.length, faults.join('\n'));
  for (const pattern of expected)
    assert.ok(
      faults.some((fault) => pattern.test(fault)),
      `${pattern}\n${faults.join('\n')}`,
    );
});

test('what contradicts itself is refused', async () => {
  const [open = ''] = await faultLines('access: {allowAnonymous: true, htpasswd: users}');
  assert.match(open, /^access\.allowAnonymous :1 it opens everything to everyone, and access\.htpasswd does not/);
  const [exposed = ''] = await faultLines('address: 0.0.0.0:5000');
  assert.match(exposed, /name a file of accounts in access\.htpasswd/);
  assert.equal((await accessOf('address: 0.0.0.0:5000\naccess: {htpasswd: users}')).rules.length, 1);
});

test('rules that allow nothing are no open door', async () => {
  const { isOpen, rules } = await accessOf('address: 0.0.0.0:5000\naccess: {rules: []}');
  assert.deepEqual([isOpen, rules], [false, []]);
  assert.equal((await accessOf('address: 127.0.0.1:5000')).isOpen, true);
});

const TRUST = `
access:
  rules: [{who: 'trust:ci', actions: pull}]
  trust:
    - name: ci
      issuer: https://token.actions.githubusercontent.com
      audience: registry.example.com
      claims: {repository: my-org/*, ref: [refs/heads/main, refs/tags/*]}
`;

test('trust says which tokens are somebody', async () => {
  const { trust } = await accessOf(TRUST);
  assert.deepEqual(trust, [
    {
      name: 'ci',
      issuer: 'https://token.actions.githubusercontent.com',
      audience: 'registry.example.com',
      claims: { repository: ['my-org/*'], ref: ['refs/heads/main', 'refs/tags/*'] },
    },
  ]);
  const faults: [string, RegExp][] = [
    [TRUST.replace('trust:ci', 'trust:cd'), /^access\.rules :3 a rule is for "trust:cd", and access\.trust has none/],
    [TRUST.replace(/rules.*/, ''), /^access\.trust :\d nothing says what it may do \| Add a rule such as/],
    [
      TRUST.replace('https://token', 'http://token'),
      /^access\.trust\[0\]\.issuer :6 .* will not do \| Write an https:\/\/ address/,
    ],
    [TRUST.replace(/claims.*/, 'claims: {}'), /^access\.trust\[0\]\.claims :8 .*at least one claim/],
    [TRUST.replace(/claims.*/, 'claims: {sub: []}'), /^access\.trust\[0\]\.claims\.sub :8 /],
    [TRUST.replace(/ +claims.*/, ''), /^access\.trust\[0\]\.claims .*it is missing/],
    [TRUST.replace('name: ci', 'name: c i'), /^access\.trust\[0\]\.name :5 .*a name of letters, digits/],
    [`${TRUST}${TRUST.slice(TRUST.indexOf('    - name'))}`, /^access\.trust :\d "ci" is there twice/],
    [`${TRUST}      jwks: http://example.com/x`, /^access\.trust\[0\]\.jwks :9 .*a path, or an https/],
  ];
  for (const [yaml, expected] of faults) assert.match((await faultLines(yaml)).join('\n'), expected);
});

test('a token server is named with everything that is needed, or not at all', async () => {
  const issuer = '{realm: https://auth.example.com/token, service: registry, issuer: auth, jwks: keys.json}';
  const access = await accessOf(`address: 0.0.0.0:5000\naccess: {issuer: ${issuer}}`);
  assert.deepEqual([access.isOpen, access.rules], [false, []]);
  assert.ok(path.isAbsolute(access.issuer?.jwks ?? ''));
  const faults: [string, RegExp][] = [
    [
      '{realm: https://auth.example.com/token, service: registry, jwks: x}',
      /access\.issuer\.issuer is missing beside it/,
    ],
    ['{jwks: x}', /access\.issuer\.realm is missing beside it/],
    [issuer.replace(', jwks: keys.json', ''), /no keys are there to check its tokens with \| Set either/],
    [issuer.replace('jwks', 'certificates: a, jwks'), /its keys are there twice/],
  ];
  for (const [yaml, expected] of faults)
    assert.match((await faultLines(`access: {issuer: ${yaml}}`)).join('\n'), expected);
});

const TLS = 'http: {tls: {certificate: a.pem, key: a.key, clientAuthorities: ca.pem}}';

test('authorities of client certificates close access as accounts do', async () => {
  const { rules, certificateUser } = await accessOf(`address: 0.0.0.0:5000\n${TLS}`);
  assert.equal(certificateUser, 'commonName');
  assert.deepEqual(
    rules.map(({ who, actions }) => [who, actions.length]),
    [[['authenticated'], 5]],
  );
  const own = await accessOf(`${TLS}\naccess: {certificateUser: email, rules: [{who: alice, actions: pull}]}`);
  assert.equal(own.certificateUser, 'email');
  assert.deepEqual(own.rules[0]?.who, ['user:alice']);
  assert.equal((await accessOf('access: {htpasswd: users}')).certificateUser, undefined);
  const { http } = await withFile(TLS, (input) => readConfig(input));
  assert.ok(path.isAbsolute(http.tls?.clientAuthorities ?? ''));
  const [open = ''] = await faultLines(`${TLS}\naccess: {allowAnonymous: true}`);
  assert.match(open, /it opens everything to everyone, and http\.tls\.clientAuthorities does not/);
  const [alone = ''] = await faultLines('http: {tls: {clientAuthorities: ca.pem}}');
  assert.match(alone, /^http\.tls\.clientAuthorities :1 clients show certificates over TLS only, and http\.tls\.cert/);
  const [kind = ''] = await faultLines(`${TLS}\naccess: {certificateUser: serial}`);
  assert.match(kind, /"serial" will not do \| Write commonName, email, dns or uri/);
});

test('a user may be a URI where it is said that it is one', async () => {
  const yaml =
    'access: {htpasswd: users, groups: {ci: ["spiffe://a/ci"]}, rules: [{who: "user:spiffe://a/x", actions: pull}]}';
  const { rules, groups } = await accessOf(yaml);
  assert.deepEqual([rules[0]?.who, groups], [['user:spiffe://a/x'], { ci: ['spiffe://a/ci'] }]);
  const [fault = ''] = await faultLines('access: {htpasswd: users, rules: [{who: "spiffe://a/x", actions: pull}]}');
  assert.match(fault, /"spiffe:\/\/a\/x" will not do/);
});

test('a claim that no token can have is refused, wherever it comes from', async () => {
  const yaml = TRUST.replace(/claims.*/, 'claims: {__proto__: x, sub: y}');
  assert.match((await faultLines(yaml)).join('\n'), /__proto__ .*no key can have this name/);
  const env = {
    ENTREPOT_ACCESS_RULES: '[]',
    ENTREPOT_ACCESS_TRUST: '[{"name":"a","issuer":"https://a","audience":"b","claims":{"__proto__":"x","sub":"y"}}]',
  };
  await assert.rejects(readConfig({ env }), /no key can have this name/);
});

async function faultOf(rule: string): Promise<string> {
  return (await faultLines(`access: {rules: [${rule}]}`)).join('\n');
}

test('what looks like somebody and is nobody is refused', async () => {
  for (const who of ['everyone', 'Anonymous', 'ALL', '"alice, bob"', '[alice bob]']) {
    assert.match(
      await faultOf(`{who: ${who}, actions: pull}`),
      /will not do \| Write anonymous, authenticated, a user/,
      who,
    );
  }
  assert.match(
    await faultOf('{who: "group:nope", actions: pull}'),
    /a rule is for "group:nope", and access\.groups has none/,
  );
  assert.match(
    await faultOf('{who: a, actions: admin, repositories: team/**}'),
    /allows admin in some repositories or tags/,
  );
  assert.match(
    await faultOf('{who: a, actions: [pull, admin], tags: v*}'),
    /allows admin in some repositories or tags/,
  );
  for (const who of ['alice', '"user:everyone"', '"user:John Doe"', 'a.b@example.com']) {
    assert.equal(await faultOf(`{who: ${who}, actions: pull}`).catch(() => 'none'), 'none', who);
  }
});

test('a pattern that would take long to match is refused', async () => {
  const [fault = ''] = await faultLines(
    `access: {htpasswd: users, rules: [{who: alice, actions: pull, repositories: '${'a*'.repeat(7)}'}]}`,
  );
  assert.match(fault, /at most 6 stars/);
});

test('config show prints the rules as they were written', async () => {
  const yaml = 'access:\n  htpasswd: users\n  rules: [{who: alice, actions: pull}]\n';
  const shown = await withFile(yaml, (input) => describeConfig(input));
  assert.match(shown, /^ {2}rules: \[ \{ who: alice, actions: pull, repositories: "\*\*", tags: "\*" \} \] # .*:3$/m);
});

test('a date is its last moment, a time is itself', () => {
  assert.equal(parseDate('2027-01-31'), Date.parse('2027-01-31T23:59:59.999Z'));
  assert.equal(parseDate('2027-01-31T18:00:00+02:00'), Date.parse('2027-01-31T16:00:00Z'));
  assert.equal(parseDate('2024-02-29'), Date.parse('2024-02-29T23:59:59.999Z'));
  for (const text of [
    '',
    '2027',
    '31.1.2027',
    '2027-13-01',
    '2027-02-29',
    '2027-01-31T25:00:00Z',
    '2027-01-31T18:00',
  ]) {
    assert.equal(parseDate(text), undefined, text);
  }
});
