import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { readConfig } from '../../config/load.ts';
import { freePort, PROJECT_ROOT, temporaryDirectory } from '../harness/process.ts';

const fromTop = (name: string) => readFile(path.join(PROJECT_ROOT, name), 'utf8');

async function healthCheck(address: string): Promise<number | null> {
  const env = { ...process.env, ENTREPOT_ADDRESS: address };
  const child = spawn(process.execPath, [path.join(PROJECT_ROOT, 'deploy/health-check.ts')], { env, stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

async function withServer(listener: RequestListener, use: (port: number) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const address = server.address();
    assert.ok(address !== null && typeof address === 'object');
    await use(address.port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('the health check asks /livez where the server listens, and takes nothing but 200', async () => {
  const asked: (string | undefined)[] = [];
  const answerWith =
    (status: number): RequestListener =>
    (request, response) => {
      asked.push(request.url);
      response.writeHead(status).end('{}');
    };
  await withServer(answerWith(200), async (port) => {
    assert.equal(await healthCheck(`0.0.0.0:${port}`), 0);
    assert.equal(await healthCheck(`127.0.0.1:${port}`), 0);
  });
  assert.deepEqual(asked, ['/livez', '/livez']);
  await withServer(answerWith(503), async (port) => assert.equal(await healthCheck(`0.0.0.0:${port}`), 1));
  assert.equal(await healthCheck(`0.0.0.0:${await freePort()}`), 1);
});

/** The settings of a unit file; the last of a name counts, and `Environment` is collected. */
async function unitSettings(
  unit = 'entrepot.service',
): Promise<{ settings: Map<string, string>; environment: Record<string, string> }> {
  const settings = new Map<string, string>();
  const environment: Record<string, string> = {};
  for (const line of (await fromTop(`deploy/${unit}`)).split('\n')) {
    const [, name = '', value = ''] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    const [variable = '', ...rest] = value.split('=');
    if (name === 'Environment') environment[variable] = rest.join('=');
    else if (name !== '') settings.set(name, value);
  }
  return { settings, environment };
}

test('the systemd unit starts the command of the package, hardened, with time to drain', async () => {
  const { settings, environment } = await unitSettings();
  const { bin }: { bin: Record<string, string> } = JSON.parse(await fromTop('package.json'));
  assert.equal(settings.get('ExecStart'), `/opt/entrepot/${bin['entrepot']} serve`);
  const expected = { DynamicUser: 'yes', StateDirectory: 'entrepot', ProtectSystem: 'strict', KillSignal: 'SIGTERM' };
  for (const [name, value] of Object.entries(expected)) assert.equal(settings.get(name), value, name);
  assert.equal(settings.get('NoNewPrivileges'), 'yes');
  assert.equal(settings.get('CapabilityBoundingSet'), '');
  assert.notEqual(settings.get('MemoryDenyWriteExecute'), 'yes', 'V8 compiles at run time');
  assert.ok(Number(settings.get('LimitNOFILE')) >= 4096);
  assert.ok(Number(environment['UV_THREADPOOL_SIZE']) >= 16);
  const { http } = await readConfig({ env: environment });
  assert.ok(Number(settings.get('TimeoutStopSec')) * 1000 > http.drainTimeoutMs);
});

test('the systemd unit of the backup works on the store of the server, as its user', async () => {
  const [backup, server] = [await unitSettings('entrepot-backup.service'), await unitSettings()];
  const { bin }: { bin: Record<string, string> } = JSON.parse(await fromTop('package.json'));
  const start = backup.settings.get('ExecStart') ?? '';
  assert.match(start, /^\/opt\/entrepot\/\S+ backup %S\/entrepot-backup --keep \d+$/);
  assert.ok(start.startsWith(`/opt/entrepot/${bin['entrepot']} `));
  for (const name of ['User', 'DynamicUser', 'EnvironmentFile', 'StateDirectoryMode']) {
    assert.equal(backup.settings.get(name), server.settings.get(name), name);
  }
  assert.equal(backup.environment['ENTREPOT_ROOT'], server.environment['ENTREPOT_ROOT']);
  assert.equal(backup.settings.get('StateDirectory'), `${server.settings.get('StateDirectory')} entrepot-backup`);
  assert.match(await fromTop('deploy/entrepot-backup.timer'), /^OnCalendar=/m);
});

interface Compose {
  readonly services: { readonly registry: ComposeService };
}

interface ComposeService {
  readonly ports: string[];
  readonly environment: Record<string, string>;
  readonly volumes: string[];
  readonly stop_grace_period: string;
  readonly ulimits: { nofile: number };
  readonly read_only: boolean;
}

test('the compose file is taken by the server of the image, reached from this machine only, with time to drain', async () => {
  const compose: Compose = parse(await fromTop('deploy/compose.yaml'));
  const { registry } = compose.services;
  const config = await readConfig({ env: { ENTREPOT_ADDRESS: '0.0.0.0:5000', ...registry.environment } });
  assert.equal(config.access.allowAnonymous, true);
  assert.deepEqual(registry.ports, ['127.0.0.1:5000:5000']);
  assert.deepEqual(registry.volumes, ['data:/var/lib/entrepot']);
  assert.ok(Number.parseInt(registry.stop_grace_period, 10) * 1000 > config.http.drainTimeoutMs);
  assert.ok(registry.ulimits.nofile >= 4096);
  assert.equal(registry.read_only, true);
});

test('the command runs the sources rather than a build that may be older, and the build where it is alone', async () => {
  await using directory = await temporaryDirectory();
  const inside = (name: string) => path.join(directory.path, name);
  for (const folder of ['bin', 'cli', 'dist/cli', 'node_modules/.bin'])
    await mkdir(inside(folder), { recursive: true });
  await copyFile(path.join(PROJECT_ROOT, 'bin/entrepot'), inside('bin/entrepot'));
  await writeFile(inside('node_modules/.bin/node'), '#!/bin/sh\necho "$@"\n');
  await chmod(inside('node_modules/.bin/node'), 0o755);
  for (const file of ['cli/main.mjs', 'dist/cli/main.mjs']) await writeFile(inside(file), '');
  const run = () => execFileSync(inside('bin/entrepot'), ['help'], { encoding: 'utf8' });
  assert.match(run(), /\/cli\/main\.mjs help\n$/);
  await rm(inside('cli'), { recursive: true });
  assert.match(run(), /\/dist\/cli\/main\.mjs help\n$/);
});
