import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';
import { accessToken, basic, htpasswdFile, passwordOf } from '../http/accounts.ts';
import { Client } from '../http/client.ts';
import { LOGIN_CLIENTS, type LoginClient } from './login-clients.ts';
import { AGAINST_DISTRIBUTION, startRegistry, type Registry } from './registry.ts';
import { clientSuite } from './suite.ts';

const RULES = [
  { who: 'writer', actions: ['pull', 'push'], repositories: 'team/**' },
  { who: 'reader', actions: 'pull', repositories: 'team/open/**' },
  { who: 'robot:ci', actions: ['pull', 'push'], repositories: 'team/**' },
  { who: 'root', actions: 'all' },
];
const REFUSED = /unauthorized|401|denied|403|authentication required|insufficient_scope|login|credential/i;

function as(user: string): readonly [string, string] {
  return [user, passwordOf(user)];
}

async function refuses(call: Promise<string>): Promise<void> {
  await assert.rejects(call, REFUSED);
}

for (const challenge of ['bearer', 'basic']) {
  for (const [name, { obstacle, open, keepsToken, searches }] of Object.entries(LOGIN_CLIENTS)) {
    const isElsewhere = AGAINST_DISTRIBUTION && 'the accounts are for Entrepot';
    clientSuite(`${name} logs in (${challenge})`, obstacle || isElsewhere, () => {
      const resources = new AsyncDisposableStack();
      let registry: Registry;
      let client: LoginClient;
      const login = async (user: string) => client.login?.(...as(user));

      before(async () => {
        const accounts = resources.use(await htpasswdFile(['writer', 'reader', 'root']));
        registry = resources.use(
          await startRegistry({
            ENTREPOT_ACCESS_HTPASSWD: accounts.path,
            ENTREPOT_ACCESS_RULES: JSON.stringify(RULES),
            ENTREPOT_ACCESS_CHALLENGE: challenge,
          }),
        );
        client = resources.use(await open(registry.host));
      });
      after(() => resources.disposeAsync());

      it('is refused without a login, and with a wrong password', async () => {
        await refuses(client.pull('team/open/app'));
        // Some clients believe what they are told, and find out when they pull.
        const loggedIn = await client.login?.('writer', 'a guess').catch((error: Error) => error.message);
        if (loggedIn !== undefined && REFUSED.test(loggedIn)) return;
        await refuses(client.pull('team/open/app', 'writer', 'a guess'));
      });

      it('pushes and pulls what its account may, and is refused the rest', async () => {
        await login('writer');
        await client.push('team/open/app', ...as('writer'));
        await client.push('team/closed/app', ...as('writer'));
        await client.pull('team/closed/app', ...as('writer'));
        await refuses(client.push('elsewhere/app', ...as('writer')));
        await login('reader');
        await client.pull('team/open/app', ...as('reader'));
        await refuses(client.pull('team/closed/app', ...as('reader')));
        await refuses(client.push('team/open/other', ...as('reader')));
      });

      it('is a robot with an access token, until that is revoked', async () => {
        const http = resources.adopt(new Client(`http://${registry.host}`), (each) => each.close());
        const { id, token } = await accessToken(http, { robot: 'ci', repositories: ['team/robots/**'] });
        await client.login?.('ci', token);
        await client.push('team/robots/app', 'ci', token);
        await client.pull('team/robots/app', 'ci', token);
        await refuses(client.push('team/open/other', 'ci', token));
        assert.equal((await http.delete(`/api/v1/tokens/${id}`, basic('root'))).status, 204);
        await refuses(client.pull('team/robots/app', 'ci', token));
        await login('reader');
      });

      if (keepsToken && challenge === 'bearer') {
        it('keeps a token instead of the password', async () => {
          const kept = await readFile(client.credentialsFile ?? '', 'utf8');
          assert.match(kept, /"identitytoken": "entrepot_rt_/);
          assert.ok(!kept.includes(Buffer.from(passwordOf('reader')).toString('base64').slice(0, 12)), kept);
        });
      }

      if (searches) {
        it('finds what its account may pull', async () => {
          await login('reader');
          const found = (await client.search?.('app')) ?? '';
          const names = found.split('\n').map((line) => line.replace(`${registry.host}/`, ''));
          assert.deepEqual(names, ['team/open/app']);
        });
      }
    });
  }
}
