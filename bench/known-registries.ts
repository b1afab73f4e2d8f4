import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { distributionConfig } from '../test/harness/distribution.ts';
import { launched, type Registry } from './registries.ts';

/** The registries that the benchmark knows how to get and to start, by the name that `--peer` takes. */
export const KNOWN_REGISTRIES = ['entrepot', 'entrepot-bearer', 'docker-registry', 'distribution-v3'] as const;

export type KnownRegistry = (typeof KNOWN_REGISTRIES)[number];

/**
 * One of the known registries, installed when it has to be.
 *
 * @param cache where programs built by Go are kept
 * @param args more command line, for Entrepot only
 */
export async function knownRegistry(name: KnownRegistry, cache: string, args: readonly string[]): Promise<Registry> {
  if (name === 'entrepot') return entrepot(args);
  if (name === 'entrepot-bearer') return entrepotWithTokens(args);
  if (name === 'docker-registry') return distribution(name, 'docker-registry');
  return distribution(name, await goInstall(cache, 'github.com/distribution/distribution/v3/cmd/registry@latest'));
}

/** A registry started by a shell command in which `{address}` and `{root}` are replaced. */
export function commandRegistry(template: string): Registry {
  const name = path.basename(template.trim().split(/\s/)[0] ?? template);
  return launched(name, (root, host) => ({
    command: 'sh',
    args: ['-c', `exec ${template.replaceAll('{address}', host).replaceAll('{root}', root)}`],
  }));
}

function entrepot(args: readonly string[]): Registry {
  return launched('entrepot', (root, host) => entrepotCommand(root, host, args));
}

function entrepotCommand(root: string, host: string, args: readonly string[]) {
  return {
    command: process.execPath,
    args: ['cli/main.mjs', 'serve', '--address', host, '--root', root, ...args],
  };
}

/** With rules, and a token for what is read. The data set is pushed by nobody in particular. */
function entrepotWithTokens(args: readonly string[]): Registry {
  const rules = [
    { who: 'group:release', actions: ['pull', 'push'], repositories: 'release/**', tags: 'v*' },
    { who: 'authenticated', actions: 'all', repositories: 'home/{user}/**' },
    { who: 'group:dev', actions: ['pull', 'push'], repositories: ['bench/*', 'team/**'] },
    { who: 'anonymous', actions: ['pull', 'push', 'overwrite'] },
  ];
  const launch = (root: string, host: string) => {
    const users = `${root}.users`;
    writeFileSync(users, `bench:${HASH_OF_BENCH}\n`, { mode: 0o600 });
    const env = {
      ENTREPOT_ACCESS_HTPASSWD: users,
      ENTREPOT_ACCESS_GROUPS: '{"dev":["bench"],"release":[]}',
      ENTREPOT_ACCESS_RULES: JSON.stringify(rules),
      ENTREPOT_ACCESS_TOKEN_LIFETIME: '1h',
    };
    return { ...entrepotCommand(root, host, args), env };
  };
  return launched('entrepot-bearer', launch, tokenOf);
}

// Of the password `bench`.
const HASH_OF_BENCH = '$2b$04$SrBvm0ezCOWDx87HfBaO0Os9TgKyAIH7Qzk5YG5WyHeNQpafidpW2';

async function tokenOf(host: string): Promise<string> {
  const scopes = ['image', 'blobs'].map((name) => `scope=repository:bench/${name}:pull`);
  const authorization = `Basic ${Buffer.from('bench:bench').toString('base64')}`;
  const answer = await fetch(`http://${host}/token?${scopes.join('&')}`, { headers: { authorization } });
  return `Bearer ${TOKEN.parse(await answer.json()).token}`;
}

const TOKEN = z.object({ token: z.string() });

function distribution(name: string, command: string): Registry {
  return launched(name, (root, host) => {
    const file = `${root}.yml`;
    writeFileSync(file, distributionConfig(root, host));
    // Version 3 traces to a collector on localhost unless it is told not to.
    return { command, args: ['serve', file], env: { OTEL_TRACES_EXPORTER: 'none' } };
  });
}

/** Builds a Go program without cgo, once; the path of the binary. */
async function goInstall(cache: string, module: string): Promise<string> {
  const directory = path.join(cache, 'go', module.replaceAll('/', '+'));
  const binary = path.join(directory, path.basename(module.split('@')[0] ?? module));
  if (existsSync(binary)) return binary;
  mkdirSync(directory, { recursive: true });
  process.stderr.write(`go install ${module}\n`);
  const env = { ...process.env, CGO_ENABLED: '0', GOBIN: directory };
  await promisify(execFile)('go', ['install', module], { env, cwd: directory, maxBuffer: 1 << 26 });
  return binary;
}
