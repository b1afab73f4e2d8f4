import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Store } from './stores.ts';

const HEX = '0'.repeat(64);

/** Files that have no business in Distribution's tree, at every level of it: what backups, desktops and people leave. */
const FILES = [
  'README',
  '.DS_Store',
  'blobs/lost+found/file',
  'blobs/sha256/zz/not-hex/data',
  `blobs/md5/00/${HEX.slice(32)}/data`,
  'repositories/a file',
  'repositories/UPPER/_manifests/tags/v1/current/link',
  'repositories/with space/_layers/sha256/x/link',
  'repositories/-dash/_manifests/tags/v1/current/link',
  'repositories/_manifests/tags/v1/current/link',
];

/** The same within a repository. */
const FILES_IN_REPOSITORY = [
  'notes.txt',
  '_manifests/README',
  '_manifests/revisions/sha256/not-hex/link',
  `_manifests/revisions/md5/${HEX.slice(32)}/link`,
  '_manifests/tags/a file beside the tags',
  '_manifests/tags/-not-a-tag/current/link',
  '_manifests/tags/empty-directory/nothing',
  '_layers/sha256/not-hex/link',
  '_uploads/not-an-id/data',
  '_uploads/file',
];

/** Strews foreign files and symbolic links over a store that nothing serves. */
export async function litter(store: Store, repository: string): Promise<void> {
  const files = [...FILES, ...FILES_IN_REPOSITORY.map((file) => path.join('repositories', repository, file))];
  for (const file of files) {
    await mkdir(path.dirname(store.pathOf(file)), { recursive: true });
    await writeFile(store.pathOf(file), 'foreign');
  }
  await symlink('nowhere', store.pathOf('repositories/dangling'));
  await symlink('..', store.pathOf('repositories/whole/loop'));
  await symlink('self', store.pathOf('repositories/self'));
  await symlink('/etc/hostname', store.pathOf('repositories/to-a-file'));
  await symlink('nowhere', store.pathOf('repositories', repository, '_manifests/tags/dangling'));
}
