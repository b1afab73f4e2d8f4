import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { temporaryDirectory } from '../harness/process.ts';
import { unmountBelow } from './mounts.ts';

/** What podman, buildah and skopeo take from the environment, so that nothing of the machine's is read or changed. */
export interface ContainersEnvironment extends AsyncDisposable {
  /** Empty, and gone with the environment. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Makes storage, configuration and policy of their own for podman, buildah and skopeo, with `host` served over HTTP. */
export async function openContainersEnvironment(host: string): Promise<ContainersEnvironment> {
  const { path: root, ...temporary } = await temporaryDirectory('entrepot-containers-');
  const directory = path.join(root, 'work');
  const home = path.join(root, 'home');
  await mkdir(path.join(home, '.config/containers'), { recursive: true });
  await Promise.all(['work', 'tmp', 'run'].map((name) => mkdir(path.join(root, name), { recursive: true })));
  await writeFile(path.join(home, '.config/containers/policy.json'), POLICY);
  await writeFile(path.join(root, 'auth.json'), '{}');
  await writeFile(path.join(root, 'storage.conf'), storageConf(root));
  await writeFile(path.join(home, '.config/containers/registries.conf'), registriesConf(host));
  await writeFile(path.join(root, 'containers.conf'), containersConf(root));
  return {
    directory,
    env: environmentOf(root, home),
    [Symbol.asyncDispose]: async () => {
      await unmountBelow(root);
      await temporary[Symbol.asyncDispose]();
    },
  };
}

const POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}';

function environmentOf(root: string, home: string): Record<string, string> {
  return {
    HOME: home,
    XDG_CONFIG_HOME: path.join(home, '.config'),
    XDG_RUNTIME_DIR: path.join(root, 'run'),
    TMPDIR: path.join(root, 'tmp'),
    CONTAINERS_CONF: path.join(root, 'containers.conf'),
    CONTAINERS_STORAGE_CONF: path.join(root, 'storage.conf'),
    REGISTRY_AUTH_FILE: path.join(root, 'auth.json'),
    BUILDAH_ISOLATION: 'chroot',
  };
}

function storageConf(root: string): string {
  return `[storage]
driver = "overlay"
graphroot = "${root}/storage"
runroot = "${root}/run/storage"
`;
}

function registriesConf(host: string): string {
  return `unqualified-search-registries = []

[[registry]]
location = "${host}"
insecure = true
`;
}

// The limits are explicit: podman raises them by itself, which a machine without CAP_SYS_RESOURCE refuses.
function containersConf(root: string): string {
  return `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]

[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "${root}/run/libpod"

[network]
network_config_dir = "${root}/networks"
`;
}
