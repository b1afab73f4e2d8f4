import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { it } from 'node:test';
import { startCommand } from '../harness/entrepot-command.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { basic, htpasswdFile, passwordOf } from './accounts.ts';
import { Client, type Answer } from './client.ts';
import { digestOf } from './content.ts';
import { bearerOf, githubClaims, keyPair, startIssuer } from './oidc-issuer.ts';

const FORM = { 'Content-Type': 'application/x-www-form-urlencoded' };

async function memberOf(answer: Promise<Answer>, name: string): Promise<string> {
  const value = ((await answer).json() as Record<string, string>)[name];
  return value ?? assert.fail(`${name} is missing`);
}

/** What is not found when it is looked for is no secret that was planted. */
function forms(secret: string): readonly string[] {
  return [
    secret,
    encodeURIComponent(secret),
    Buffer.from(secret)
      .toString('base64')
      .replace(/.{2}=*$/, ''),
  ];
}

it('no secret reaches a log, an error, a metric or an answer that is not about it', async () => {
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(await temporaryDirectory());
  const accounts = resources.use(await htpasswdFile(['root']));
  const issuer = resources.use(await startIssuer());
  const audit = path.join(directory.path, 'audit');
  const trust = [{ name: 'ci', issuer: issuer.url, audience: 'registry.example.com', claims: { sub: '**' } }];
  const rules = [
    { who: 'root', actions: 'all' },
    { who: 'trust:ci', actions: 'pull', repositories: 'team/**' },
    { who: 'robot:r', actions: 'pull', repositories: 'team/**' },
  ];
  const server = resources.use(
    startCommand(process.execPath, ['cli/main.mjs', 'serve', '--address', '127.0.0.1:0', '--root', directory.path], {
      env: {
        ENTREPOT_ACCESS_HTPASSWD: accounts.path,
        ENTREPOT_ACCESS_RULES: JSON.stringify(rules),
        ENTREPOT_ACCESS_TRUST: JSON.stringify(trust),
        ENTREPOT_ACCESS_AUDIT: audit,
        ENTREPOT_LOG_LEVEL: 'trace',
        ENTREPOT_LOG_FORMAT: 'json',
      },
      timeoutMs: 60_000,
    }),
  );
  const [, url = ''] = /listening on (http:[^"]+)"/.exec(await server.until(/listening on http:\S+"/)) ?? [];
  const client = new Client(url);
  resources.defer(() => client.close());

  const answers: Answer[] = [];
  const secrets = new Map<string, string>();
  const plant = (what: string, secret: string) => {
    secrets.set(what, secret);
    return secret;
  };
  const keep = async (answer: Promise<Answer>) => {
    answers.push(await answer);
  };
  const root = basic('root');
  plant('a password', passwordOf('root'));
  const guess = plant('a wrong password', 'wrong-guess-8812');
  const made = plant('a password of an account in the store', 'made-secret-4711');
  const bad = plant('a password that is refused', 'x'.repeat(73));
  const body = JSON.stringify({ name: 'r', robot: 'r' });
  const robot = plant('an access token', await memberOf(client.post('/api/v1/tokens', body, root), 'token'));
  const login = client.get('/token?offline_token=true&scope=repository:team/app:pull&client_id=docker', root);
  const short = plant('a token', await memberOf(login, 'token'));
  const refresh = plant('a refresh token', await memberOf(login, 'refresh_token'));
  const identity = plant('a token of another issuer', issuer.sign(githubClaims(issuer.url)));
  const forged = plant(
    'a forged token',
    issuer.sign(githubClaims(issuer.url, { sub: 'repo:x' }), { key: keyPair('rsa').privateKey }),
  );
  const cookie = plant('a cookie', 'cookie-secret-3141');
  const inQuery = plant('a password in an address', 'query-secret-2718');

  await keep(client.post('/api/v1/users', JSON.stringify({ name: 'alice', password: made }), root));
  await keep(client.post('/api/v1/users', JSON.stringify({ name: 'bob', password: bad }), root));
  await keep(client.post('/api/v1/users', `{"name": "bob", "password": "${made}"`, root));
  await keep(
    client.send('PATCH', '/api/v1/users/alice', { body: JSON.stringify({ password: made, x: made }), headers: root }),
  );
  for (const where of [
    '/v2/',
    '/v2/team/app/manifests/v1',
    '/v2/_catalog',
    '/v1/search?q=a',
    '/api/v1/tokens',
    '/nothing',
  ]) {
    for (const [user, secret] of [
      ['alice', made],
      ['x', robot],
      ['x', identity],
      ['x', forged],
    ]) {
      await keep(client.get(where, { ...basic(user ?? '', secret), Cookie: `session=${cookie}` }));
    }
    for (const token of [short, robot, refresh, identity, forged]) await keep(client.get(where, bearerOf(token)));
    await keep(client.get(where, { Authorization: `Basic ${robot}` }));
    await keep(client.get(where, { Authorization: robot }));
    await keep(client.get(`${where}${where.includes('?') ? '&' : '?'}access_token=${short}&password=${inQuery}`, root));
  }
  // Few, because wrong ones are answered more slowly each time.
  await keep(client.get('/v2/', basic('root', guess)));
  await keep(client.get('/v2/', basic(robot, guess)));
  await keep(client.get('/token', basic(identity, guess)));
  await keep(client.get(`/token?service=${encodeURIComponent(robot)}`, root));
  for (const fields of [
    { grant_type: 'password', username: 'root', password: guess },
    { grant_type: 'password', username: robot, password: guess },
    { grant_type: 'refresh_token', refresh_token: `${refresh.slice(0, -1)}_` },
    { grant_type: robot, password: guess },
  ]) {
    await keep(client.post('/token', new URLSearchParams(fields).toString(), FORM));
  }
  await keep(client.post(`/v2/team/app/blobs/uploads/?digest=${digestOf(robot)}`, 'other', root));
  await keep(client.put('/v2/team/app/manifests/v1', robot, root));
  await keep(client.get('/api/v1/users', root));
  await keep(client.get('/api/v1/tokens', root));
  const metrics = await client.get('/metrics');
  assert.match(metrics.text, /entrepot_/);

  server.child.kill('SIGTERM');
  const { stdout, stderr } = await server.result;
  const seen = {
    log: stdout + stderr,
    audit: await readFile(audit, 'utf8'),
    metrics: metrics.text,
    answers: answers.map(({ text, headers }) => text + JSON.stringify(headers)).join('\n'),
  };
  assert.ok(answers.length > 80 && seen.log.split('\n').length > 80 && seen.audit.split('\n').length > 30);
  for (const [where, text] of Object.entries(seen)) {
    for (const [what, secret] of secrets) {
      const tail = secret.includes('.') ? secret.slice(secret.lastIndexOf('.') + 1) : secret;
      for (const form of [...forms(secret), tail]) assert.ok(!text.includes(form), `${what} in ${where}`);
    }
  }
});
