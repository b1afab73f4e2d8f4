import assert from 'node:assert/strict';
import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { PROJECT_ROOT } from '../harness/process.ts';

/** One instruction, its continued lines joined. */
interface Instruction {
  readonly name: string;
  readonly text: string;
}

const fromTop = (name: string) => readFile(path.join(PROJECT_ROOT, name), 'utf8');

async function instructions(): Promise<Instruction[]> {
  const lines = (await fromTop('Dockerfile'))
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll('\\\n', ' ')
    .split('\n');
  return lines.flatMap((line) => {
    const [, name = '', text = ''] = /^([A-Z]+)\s+(.+)$/.exec(line) ?? [];
    assert.ok(name !== '' || line.trim() === '', `not an instruction: ${line}`);
    return name === '' ? [] : [{ name, text: text.replaceAll(/\s+/g, ' ').trim() }];
  });
}

/** The instructions of each stage, the last one being the image. */
async function stages(): Promise<Instruction[][]> {
  const all: Instruction[][] = [];
  for (const instruction of await instructions()) {
    if (instruction.name === 'FROM') all.push([]);
    all.at(-1)?.push(instruction);
  }
  return all;
}

async function image(): Promise<Instruction[]> {
  const last = (await stages()).at(-1);
  assert.ok(last);
  return last;
}

/** The text of the one instruction of that name. */
function only(stage: readonly Instruction[], name: string): string {
  const [found, ...others] = stage.filter((each) => each.name === name);
  assert.ok(found, `no ${name}`);
  assert.deepEqual(others, [], `more than one ${name}`);
  return found.text;
}

test('two stages on the same base, of a version and never the latest', async () => {
  const bases = (await stages()).map((stage) => only(stage, 'FROM').split(' ')[0]);
  assert.deepEqual(bases, ['node:26-bookworm-slim', 'node:26-bookworm-slim']);
});

test('the image starts the built server in exec form, as somebody else than root', async () => {
  const stage = await image();
  assert.deepEqual(JSON.parse(only(stage, 'ENTRYPOINT')), ['node', '/opt/entrepot/dist/cli/main.mjs']);
  assert.deepEqual(JSON.parse(only(stage, 'CMD')), ['serve']);
  assert.match(only(stage, 'USER'), /^[1-9]\d*:[1-9]\d*$/);
  const names = stage.map(({ name }) => name);
  assert.ok(names.lastIndexOf('RUN') < names.indexOf('USER'), 'RUN after USER cannot prepare directories');
  assert.equal(only(stage, 'STOPSIGNAL'), 'SIGTERM');
});

test('the data has a volume that belongs to the user before it is declared', async () => {
  const stage = await image();
  const volume = only(stage, 'VOLUME');
  assert.equal(volume, '/var/lib/entrepot');
  const made = stage.findIndex(
    ({ name, text }) => name === 'RUN' && /install -d -o node -g node/.test(text) && text.endsWith(volume),
  );
  const declared = stage.findIndex(({ name }) => name === 'VOLUME');
  assert.ok(made !== -1 && made < declared, 'Docker drops what is written to a volume after it was declared');
  assert.match(only(stage, 'ENV'), new RegExp(`ENTREPOT_ROOT=${volume}( |$)`));
});

test('it listens where a container is reached, and has threads enough for syncs', async () => {
  const stage = await image();
  const environment = only(stage, 'ENV').split(' ');
  for (const each of ['NODE_ENV=production', 'UV_THREADPOOL_SIZE=16', 'ENTREPOT_ADDRESS=0.0.0.0:5000']) {
    assert.ok(environment.includes(each), each);
  }
  assert.equal(only(stage, 'EXPOSE'), '5000');
  assert.ok(!environment.some((each) => each.includes('ALLOW_ANONYMOUS')), 'open to everyone without being asked');
});

test('it has a health check, by a file that is in the image', async () => {
  const stage = await image();
  const [, command = ''] = /CMD (\[.*\])$/.exec(only(stage, 'HEALTHCHECK')) ?? [];
  assert.deepEqual(JSON.parse(command), ['node', '/opt/entrepot/health-check.ts']);
  assert.equal(only(stage, 'WORKDIR'), '/opt/entrepot');
  assert.ok(stage.some(({ name, text }) => name === 'COPY' && text === 'deploy/health-check.ts ./'));
});

test('whatever is copied exists, and nothing is left out of the context that is copied', async () => {
  const ignored = (await fromTop('.dockerignore')).split('\n');
  assert.ok(ignored.includes('*'));
  const copies = (await instructions()).filter(({ name, text }) => name === 'COPY' && !text.startsWith('--from='));
  const sources = copies.flatMap(({ text }) => text.split(' ').slice(0, -1));
  assert.ok(sources.length >= 10);
  for (const source of sources) {
    await access(path.join(PROJECT_ROOT, source));
    assert.ok(ignored.includes(`!${source}`), `${source} is kept out by .dockerignore`);
  }
});

test('every folder that the build compiles is copied', async () => {
  const { include }: { include: string[] } = JSON.parse(await fromTop('tsconfig.build.json'));
  const copied = (await instructions()).filter(({ name }) => name === 'COPY').map(({ text }) => text);
  assert.ok(include.length > 0);
  for (const folder of include) assert.ok(copied.includes(`${folder} ./${folder}`), folder);
});

test('only what production needs gets into the image, and no second Node', async () => {
  const [build = []] = await stages();
  const runs = build.filter(({ name }) => name === 'RUN').map(({ text }) => text);
  assert.deepEqual(runs, ['npm ci', 'npm run build && npm prune --omit=dev --omit=optional']);
  const {
    optionalDependencies,
    scripts,
  }: Record<string, Record<string, string>> = JSON.parse(await fromTop('package.json'));
  assert.ok(scripts?.['build']);
  assert.ok(
    Object.keys(optionalDependencies ?? {}).every((name) => name.startsWith('node-')),
    'left out of the image',
  );
});

test('ADD, sudo, secrets in ARG and packages without a version do not occur', async () => {
  for (const { name, text } of await instructions()) {
    assert.ok(!['ADD', 'MAINTAINER', 'ARG'].includes(name), name);
    assert.doesNotMatch(text, /\bsudo\b|apt-get|curl|wget|:latest/);
  }
});
