import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import type { Readable } from 'node:stream';

const TREE = 'docker/registry/v2';

/** The files of a store, by their paths below `docker/registry/v2`. */
export interface TreeFiles {
  list(): Promise<ReadonlySet<string>>;
  /** The names that lie beside `docker`. */
  top(): Promise<readonly string[]>;
  open(file: string): Promise<Readable>;
  /** Something that is another when its bytes are others. */
  identity(file: string): Promise<string>;
}

/** Those below the root of a server. */
export function directoryFiles(root: string): TreeFiles {
  const tree = path.join(root, TREE);
  return {
    list: async () => {
      const entries = await readdir(tree, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => !entry.isDirectory());
      return new Set(files.map((entry) => path.relative(tree, path.join(entry.parentPath, entry.name))));
    },
    top: () => readdir(root),
    open: async (file) => createReadStream(path.join(tree, file)),
    identity: async (file) => {
      const { ino, size, mtimeMs } = await stat(path.join(tree, file));
      return `${ino} ${size} ${mtimeMs}`;
    },
  };
}
