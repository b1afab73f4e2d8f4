import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Key } from '../../storage/blobs/driver.ts';
import type { S3Options } from '../../storage/blobs/s3/options.ts';
import { openS3Driver } from '../../storage/blobs/s3.ts';
import { Client } from '../faults/client.ts';
import { Ledger } from '../faults/ledger.ts';
import { push, TRIAL_TAG, trialImage } from '../faults/trial.ts';
import { runEntrepot } from '../harness/entrepot-command.ts';
import { startEntrepot, temporaryDirectory } from '../harness/process.ts';
import { s3Environment } from '../harness/s3-environment.ts';
import { postgresEnvironment } from './postgres-environment.ts';
import { missingPostgres, PostgresServer } from './postgres-server.ts';
import { versitygw, type S3Server } from './s3-servers.ts';

const PASSWORD = 'a long password';
const BASIC = { Authorization: `Basic ${Buffer.from(`anna:${PASSWORD}`).toString('base64')}` };
const RULES = {
  ENTREPOT_ACCESS_RULES: JSON.stringify([
    { who: 'authenticated', repositories: '**', actions: ['pull'] },
    { who: 'anonymous', repositories: 'team/**', actions: ['pull', 'push'] },
  ]),
};

async function run(env: Record<string, string>, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await runEntrepot(args, { env, input: `${PASSWORD}\n` });
  assert.equal(code, 0, `${args.join(' ')}: ${stdout}${stderr}`);
}

/** When the tag was moved, and to what. */
async function historyAt(url: string): Promise<string> {
  const answer = await fetch(`${url}/api/v1/repositories/team/app/tags/${TRIAL_TAG}/history`, { headers: BASIC });
  const text = await answer.text();
  assert.equal(answer.status, 200, text);
  // Rows have other ids.
  return text.replaceAll(/"id":\d+/g, '"id":0');
}

/** What `aws s3 sync` does. */
async function sync(directory: string, options: S3Options, to: string): Promise<void> {
  const driver = openS3Driver(options);
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  for (const entry of entries.filter((each) => each.isFile())) {
    const file = path.join(entry.parentPath, entry.name);
    await driver.writeAll([{ key: `${to}/${path.relative(directory, file)}` as Key, bytes: await readFile(file) }]);
  }
  await driver.close();
}

describe(
  'a store in a bucket and a database',
  { skip: missingPostgres === false ? versitygw.missing : missingPostgres },
  () => {
    let postgres: PostgresServer;
    let s3: S3Server;
    before(async () => {
      postgres = await PostgresServer.start();
      s3 = await versitygw.start();
    });
    after(async () => {
      await s3[Symbol.asyncDispose]();
      await postgres[Symbol.asyncDispose]();
    });

    const environment = async (prefix: string) => ({
      ...postgresEnvironment(await postgres.database()),
      ...s3Environment({ ...s3.options, prefix }),
      ...RULES,
    });

    it('is there again when both are lost: images, history, accounts and keys, by restore, sync and migrate', async () => {
      await using directory = await temporaryDirectory();
      const at = (name: string) => path.join(directory.path, name);
      const image = trialImage('restored', 5_000);
      let [jwks, history] = ['', ''];
      const lost = await environment('lost/');
      {
        await using server = await startEntrepot({ root: at('root'), env: lost });
        using client = new Client(server.url);
        await push({ client, ledger: new Ledger(), repository: 'team/app' }, image);
        await run(lost, 'user', 'add', 'anna', '--root', at('root'));
        jwks = await (await fetch(`${server.url}/.well-known/jwks.json`)).text();
        history = await historyAt(server.url);
        await run(lost, 'backup', at('copy'), '--root', at('root'));
      }
      await run({}, 'restore', at('copy'), '--root', at('restored'));
      await sync(at('restored/docker'), { ...s3.options, prefix: 'new/' }, 'docker');
      const env = await environment('new/');
      await run(env, 'index', 'migrate', '--from', 'sqlite', '--to', 'postgres', '--root', at('restored'));
      await using server = await startEntrepot({ root: at('restored'), env });
      const manifest = await fetch(`${server.url}/v2/team/app/manifests/${TRIAL_TAG}`, {
        headers: { ...BASIC, Accept: image.document.mediaType },
      });
      assert.deepEqual([manifest.status, manifest.headers.get('Docker-Content-Digest')], [200, image.document.digest]);
      for (const { digest } of image.blobs) {
        assert.equal((await fetch(`${server.url}/v2/team/app/blobs/${digest}`, { headers: BASIC })).status, 200);
      }
      assert.equal(await historyAt(server.url), history);
      assert.equal(await (await fetch(`${server.url}/.well-known/jwks.json`)).text(), jwks);
    });
  },
);
