import { statfs } from 'node:fs/promises';
import { about, type Check, type Finding } from './finding.ts';
import { nearestExisting } from './nearest.ts';

const fileSystem = about('file system');

// The magic numbers of statfs(2).
const NETWORK: Readonly<Record<number, string>> = {
  0x6969: 'NFS',
  0x517b: 'SMB',
  0xfe534d42: 'SMB',
  0xff534d42: 'CIFS',
  0x01021997: '9P',
  0x65735546: 'FUSE',
  0x00c36400: 'Ceph',
  0x5346414f: 'AFS',
  0x0bd00bd0: 'Lustre',
  0x7461636f: 'OCFS2',
  0x01161970: 'GFS2',
};
const FLEETING: Readonly<Record<number, string>> = {
  0x01021994: 'tmpfs: everything is lost when the machine restarts',
  0x858458f6: 'ramfs: everything is lost when the machine restarts',
  0x794c7630: 'overlay, the layer of a container: everything is lost when the container is removed',
};

/** Whether what the root lies on keeps what it was given, and keeps locks as SQLite needs them. */
export const checkFileSystem: Check = async ({ config }) => {
  const { type } = await statfs(await nearestExisting(config.root));
  return [findingFor(type)];
};

/** What to say of a file system by its magic number. */
export function findingFor(type: number): Finding {
  const [network, fleeting] = [NETWORK[type], FLEETING[type]];
  if (network !== undefined) {
    return fileSystem.warning(
      `the root is on ${network}: locks and syncs over a network are often not what they promise`,
      'Set root to a local disk; the index (.meta) at least has to be on one.',
    );
  }
  if (fleeting === undefined) return fileSystem.ok('the root is on a local disk');
  return fileSystem.warning(`the root is on ${fleeting}`, 'Set root to a disk, or mount a volume there.');
}
