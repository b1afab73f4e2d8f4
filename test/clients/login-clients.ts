import { rm } from 'node:fs/promises';
import path from 'node:path';
import { temporaryDirectory } from '../harness/process.ts';
import { run } from './command.ts';
import { startContainerd } from './containerd.ts';
import { openContainersEnvironment } from './containers-storage.ts';
import { startDocker } from './dockerd.ts';
import { plainImage, TAG, type Image } from './images.ts';
import { missingTools, missingToolsOrRoot, tool } from './tools.ts';

/** A client that logs in, pushes and pulls; what it prints is what each call resolves to. */
export interface LoginClient extends AsyncDisposable {
  /** Undefined for one that is told the user with each command. */
  readonly login?: (user: string, password: string) => Promise<string>;
  /** Pushes the plain image. */
  push(repository: string, user: string, password: string): Promise<string>;
  /** Pulls it, from the registry and not from anything at hand. */
  pull(repository: string, user?: string, password?: string): Promise<string>;
  /** Repositories that are found, a line each. */
  readonly search?: (term: string) => Promise<string>;
  /** Where it keeps what it needs to log in again. */
  readonly credentialsFile?: string;
}

export interface LoginClientKind {
  readonly obstacle: string | false;
  /** It keeps a refresh token where it gets one. */
  readonly keepsToken?: true;
  readonly searches?: true;
  readonly open: (host: string) => Promise<LoginClient>;
}

/** Every client, with the least that a login is about. */
export const LOGIN_CLIENTS: Readonly<Record<string, LoginClientKind>> = {
  docker: {
    obstacle: missingToolsOrRoot('docker', 'dockerd', 'containerd', 'runc'),
    open: openDocker,
    keepsToken: true,
    searches: true,
  },
  podman: { obstacle: missingToolsOrRoot('podman', 'runc'), open: openPodman, searches: true },
  skopeo: { obstacle: missingTools('skopeo'), open: openSkopeo },
  containerd: { obstacle: missingToolsOrRoot('containerd', 'ctr', 'runc'), open: openContainerd },
  crane: { obstacle: missingTools('crane'), open: openCrane },
  oras: { obstacle: missingTools('oras'), open: openOras },
  regctl: { obstacle: missingTools('regctl'), open: openRegctl },
};

async function openDocker(host: string): Promise<LoginClient> {
  const engine = await startDocker({ insecureRegistry: host });
  const docker = async (args: readonly string[], input = '') => (await engine.docker(args, { input })).stdout;
  const remote = (repository: string) => `${host}/${repository}:${TAG}`;
  const image = await plainImage();
  const archive = path.join(engine.directory, 'image.tar');
  await run('tar', ['--create', '--file', archive, '--directory', image.directory, 'manifest.json', 'blobs']);
  return {
    login: (user, password) => docker(['login', '--username', user, '--password-stdin', host], password),
    push: async (repository) => {
      await docker(['load', '--quiet', '--input', archive]);
      await docker(['tag', `${image.name}:${TAG}`, remote(repository)]);
      return docker(['push', remote(repository)]);
    },
    pull: async (repository) => {
      await docker(['system', 'prune', '--all', '--force']);
      return docker(['pull', '--quiet', remote(repository)]);
    },
    search: (term) => docker(['search', '--format', '{{.Name}}', `${host}/${term}`]),
    credentialsFile: path.join(engine.directory, '../client/config.json'),
    [Symbol.asyncDispose]: () => engine[Symbol.asyncDispose](),
  };
}

async function openPodman(host: string): Promise<LoginClient> {
  const containers = await openContainersEnvironment(host);
  const podman = async (args: readonly string[], input = '') =>
    (await run(tool('podman'), args, { env: containers.env, input })).stdout;
  const remote = (repository: string) => `${host}/${repository}:${TAG}`;
  const image = await plainImage();
  return {
    login: (user, password) => podman(['login', '--username', user, '--password-stdin', host], password),
    push: async (repository) => {
      const id = await podman(['pull', '--quiet', `oci:${image.directory}:${TAG}`]);
      return podman(['push', id, remote(repository)]);
    },
    pull: async (repository) => {
      await podman(['rmi', '--all', '--force']);
      return podman(['pull', '--quiet', remote(repository)]);
    },
    search: (term) => podman(['search', '--format', '{{.Name}}', `${host}/${term}`]),
    [Symbol.asyncDispose]: () => containers[Symbol.asyncDispose](),
  };
}

async function openSkopeo(host: string): Promise<LoginClient> {
  const containers = await openContainersEnvironment(host);
  const skopeo = async (args: readonly string[], input = '') =>
    (await run(tool('skopeo'), args, { env: containers.env, input })).stdout;
  const remote = (repository: string) => `docker://${host}/${repository}:${TAG}`;
  const image = await plainImage();
  const layout = path.join(containers.directory, 'pulled');
  return {
    login: (user, password) => skopeo(['login', '--username', user, '--password-stdin', host], password),
    push: (repository) => skopeo(['copy', `oci:${image.directory}:${TAG}`, remote(repository)]),
    pull: async (repository) => {
      await rm(layout, { recursive: true, force: true });
      return skopeo(['copy', remote(repository), `oci:${layout}:${TAG}`]);
    },
    [Symbol.asyncDispose]: () => containers[Symbol.asyncDispose](),
  };
}

function asUser(user = '', password = ''): readonly string[] {
  return user === '' ? [] : ['--user', `${user}:${password}`];
}

async function openContainerd(host: string): Promise<LoginClient> {
  const containerd = await startContainerd();
  const ctr = async (...args: readonly string[]) =>
    (await run(tool('ctr'), ['--address', containerd.socket, ...args])).stdout;
  const remote = (repository: string) => `${host}/${repository}:${TAG}`;
  const image = await plainImage();
  const archive = path.join(containerd.directory, 'image.tar');
  const files = ['oci-layout', 'index.json', 'blobs'];
  await run('tar', ['--create', '--file', archive, '--directory', image.directory, ...files]);
  return {
    push: async (repository, user, password) => {
      await ctr('images', 'import', '--all-platforms', '--base-name', `${host}/${repository}`, archive);
      return ctr('images', 'push', '--plain-http', ...asUser(user, password), remote(repository));
    },
    pull: async (repository, user, password) => {
      const names = await ctr('images', 'ls', '--quiet');
      if (names !== '') await ctr('images', 'rm', '--sync', ...names.split('\n'));
      return ctr('images', 'pull', '--plain-http', '--all-platforms', ...asUser(user, password), remote(repository));
    },
    [Symbol.asyncDispose]: () => containerd[Symbol.asyncDispose](),
  };
}

/** A program of Go that needs nothing but a directory. */
async function openSimple(
  name: string,
  commands: (
    image: Image,
    layout: string,
  ) => {
    login(user: string): readonly string[];
    push(repository: string): readonly string[];
    pull(repository: string): readonly string[];
  },
): Promise<LoginClient> {
  const directory = await temporaryDirectory(`entrepot-${name}-`);
  const env = {
    HOME: directory.path,
    DOCKER_CONFIG: directory.path,
    REGCTL_CONFIG: path.join(directory.path, 'regctl'),
  };
  const layout = path.join(directory.path, 'pulled');
  const does = commands(await plainImage(), layout);
  const call = async (args: readonly string[], input = '') =>
    (await run(tool(name), args, { env, input, cwd: directory.path })).stdout;
  return {
    login: (user, password) => call(does.login(user), password),
    push: (repository) => call(does.push(repository)),
    pull: async (repository) => {
      await rm(layout, { recursive: true, force: true });
      return call(does.pull(repository));
    },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  };
}

function openCrane(host: string): Promise<LoginClient> {
  return openSimple('crane', (image, layout) => ({
    login: (user) => ['auth', 'login', host, '--username', user, '--password-stdin'],
    push: (repository) => ['push', image.directory, `${host}/${repository}:${TAG}`],
    pull: (repository) => ['pull', '--format=oci', `${host}/${repository}:${TAG}`, layout],
  }));
}

function openOras(host: string): Promise<LoginClient> {
  return openSimple('oras', (image, layout) => ({
    login: (user) => ['login', '--plain-http', '--username', user, '--password-stdin', host],
    push: (repository) => [
      'cp',
      '--no-tty',
      '--from-oci-layout',
      `${image.directory}:${TAG}`,
      '--to-plain-http',
      `${host}/${repository}:${TAG}`,
    ],
    pull: (repository) => [
      'cp',
      '--no-tty',
      '--from-plain-http',
      `${host}/${repository}:${TAG}`,
      '--to-oci-layout',
      `${layout}:${TAG}`,
    ],
  }));
}

function openRegctl(host: string): Promise<LoginClient> {
  const plain = ['--host', `reg=${host},tls=disabled`];
  return openSimple('regctl', (image, layout) => ({
    login: (user) => [...plain, 'registry', 'login', host, '--user', user, '--pass-stdin'],
    push: (repository) => [
      ...plain,
      'image',
      'copy',
      `ocidir://${image.directory}:${TAG}`,
      `${host}/${repository}:${TAG}`,
    ],
    pull: (repository) => [...plain, 'image', 'copy', `${host}/${repository}:${TAG}`, `ocidir://${layout}:${TAG}`],
  }));
}
