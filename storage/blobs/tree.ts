import { Directories } from './directories.ts';
import type { DiskReserve } from './disk-reserve.ts';
import type { Key, SmallWrite } from './driver.ts';
import { placeAll, type Placement } from './placement.ts';
import { TemporaryFiles } from './temporary-files.ts';

/** The directory that holds a store, and how files come to be seen in it. */
export class Tree {
  readonly root: string;
  readonly directories: Directories;
  readonly #temporaries: TemporaryFiles;

  /** Undefined where the disk may be filled to its last byte. */
  readonly reserve: DiskReserve | undefined;

  /** @param root an absolute path */
  constructor(root: string, reserve?: DiskReserve) {
    this.root = root;
    this.reserve = reserve;
    this.directories = new Directories(root);
    this.#temporaries = new TemporaryFiles(root, this.directories);
  }

  pathOf(key: Key): string {
    return `${this.root}/${key}`;
  }

  place(...groups: readonly (readonly Placement[])[]): Promise<void> {
    return placeAll(groups, this.directories);
  }

  /** The bytes by way of a temporary file. */
  placementOf({ key, bytes }: SmallWrite): Placement {
    return {
      target: this.pathOf(key),
      prepare: () => this.#temporaries.write(bytes),
      discard: (source) => this.#temporaries.remove(source),
    };
  }
}
