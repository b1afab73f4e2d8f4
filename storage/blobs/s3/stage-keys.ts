import type { UploadName } from './bucket-uploads.ts';

/*
 * What a stage consists of, below its key:
 *
 *   multipart.<id>   says which multipart upload has its parts, with `.crc32` behind it if they are checked; empty
 *   tail.<offset>    the bytes behind the parts, from that offset on; of no use once a part has them
 *   spare            of no meaning: what a server copied that was asked in a way to refuse
 *
 * and beside Distribution's tree, where neither its deletion of a repository nor that of its uploads comes:
 *
 *   .meta/staged/<key of the stage>   everything, once the multipart upload to it was completed
 *
 * The list of parts, not a record of ours, says how far a stage got: a rule of the bucket may take a multipart upload away
 * that nobody worked on for some days.
 */

const CHECKED = 'crc32';

export const STAGED_PREFIX = '.meta/staged';

export function stagedDataKey(stage: string): string {
  return `${STAGED_PREFIX}/${stage}`;
}

/** The stage whose parts make `key`; undefined when they make something else. */
export function stageOf(key: string): string | undefined {
  return key.startsWith(`${STAGED_PREFIX}/`) ? key.slice(STAGED_PREFIX.length + 1) : undefined;
}

export function markerKey(stage: string, { id, isChecked }: Omit<UploadName, 'key'>): string {
  const marker = `${stage}/multipart.${Buffer.from(id).toString('base64url')}`;
  return isChecked === true ? `${marker}.${CHECKED}` : marker;
}

export function tailKey(stage: string, offset: number): string {
  return `${stage}/tail.${offset}`;
}

export function spareKey(stage: string): string {
  return `${stage}/spare`;
}

/** Bytes behind the parts. */
export interface Tail {
  /** In bytes. */
  readonly size: number;
  /** Of its object: who worked on this stage before may still replace it. */
  readonly etag: string | undefined;
}

/** What the objects of a stage say. */
export interface StageListing {
  readonly upload: UploadName | undefined;
  /** By offset, in bytes. */
  readonly tails: ReadonlyMap<number, Tail>;
}

export function readListing(stage: string, objects: readonly (Tail & { readonly key: string })[]): StageListing {
  const tails = new Map<number, Tail>();
  let upload: UploadName | undefined;
  for (const { key, size, etag } of objects) {
    const name = key.slice(stage.length + 1);
    const [kind, value = '', check] = name.split('.', 3);
    const id = () => Buffer.from(value, 'base64url').toString();
    if (kind === 'multipart') upload = { key: stagedDataKey(stage), id: id(), isChecked: check === CHECKED };
    else if (kind === 'tail') tails.set(Number(value), { size, etag });
  }
  return { upload, tails };
}
