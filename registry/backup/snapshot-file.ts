import { createReadStream, createWriteStream } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { syncDirectory } from '../../storage/blobs/directories.ts';
import type { BlobRow, HistoryRow, ManifestRow, SnapshotRows, TagRow } from '../../storage/metadata/snapshot.ts';
import { BackupFault } from './backup-fault.ts';
import { BACKUP_FORMAT, parseSnapshotLine } from './snapshot-lines.ts';
import type { RepositoryContent, SnapshotEnd, SnapshotLine } from './snapshot-lines.ts';

// What each piece of text for the compressor holds.
const LINES_AT_ONCE = 500;

/** Writes the list of everything that the rows say, without its end. */
export async function beginSnapshotFile(
  file: string,
  head: { readonly snapshot: string; readonly takenAt: number },
  rows: SnapshotRows,
): Promise<void> {
  await write(file, linesOf({ format: BACKUP_FORMAT, ...head }, rows), 'wx');
}

/** Writes the last line, and puts the list where it counts; durable when it resolves. */
export async function endSnapshotFile(file: string, end: SnapshotEnd, target: string): Promise<void> {
  // A second member behind the first: who unpacks a gzip file gets both.
  await write(file, only({ end }), 'a');
  const handle = await open(file, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(file, target);
  await syncDirectory(path.dirname(target));
}

async function* only(line: SnapshotLine): AsyncGenerator<SnapshotLine> {
  yield line;
}

async function write(file: string, lines: AsyncGenerator<SnapshotLine>, flags: 'wx' | 'a'): Promise<void> {
  const text = async function* () {
    let waiting: string[] = [];
    for await (const line of lines) {
      waiting.push(`${JSON.stringify(line)}\n`);
      if (waiting.length < LINES_AT_ONCE) continue;
      yield waiting.join('');
      waiting = [];
    }
    yield waiting.join('');
  };
  await pipeline(Readable.from(text()), createGzip({ level: 6 }), createWriteStream(file, { flags, mode: 0o600 }));
}

async function* linesOf(head: SnapshotLine, rows: SnapshotRows): AsyncGenerator<SnapshotLine> {
  yield head;
  for await (const { id, name } of rows.repositories()) {
    yield { repository: name };
    for await (const { digest, size } of rows.layers(id)) yield { layer: digest, size };
    for await (const { digest, size, pushedAt, pulledAt } of rows.manifests(id)) {
      yield { manifest: digest, size, pushedAt, ...(pulledAt !== undefined && { pulledAt }) };
    }
    for await (const tag of rows.tags(id)) yield tag;
  }
  for await (const moved of rows.history()) yield { moved };
}

/** @throws BackupFault for a file that is no list, or one of a newer program */
async function* readLines(file: string): AsyncGenerator<SnapshotLine> {
  const packed = createReadStream(file);
  const unpacked = createGunzip();
  // A fault of the file is one of what is read from it.
  packed.on('error', (error) => unpacked.destroy(error));
  const lines = createInterface({ input: packed.pipe(unpacked), crlfDelay: Infinity });
  let number = 0;
  try {
    for await (const text of lines) {
      number += 1;
      const line = parseSnapshotLine(text);
      if (line === undefined || (number === 1) !== 'format' in line) throw damaged(file, `line ${number}`);
      if ('format' in line && line.format > BACKUP_FORMAT) throw newer(file, line.format);
      yield line;
    }
  } catch (error) {
    if (error instanceof BackupFault) throw error;
    throw damaged(file, (error as Error).message, error);
  } finally {
    lines.close();
    packed.destroy();
  }
  // A stream that fails may end the lines without a word.
  if (unpacked.errored !== null) throw damaged(file, unpacked.errored.message, unpacked.errored);
}

function damaged(file: string, what: string, cause?: unknown): BackupFault {
  return new BackupFault(`${file} is damaged (${what}): restore another snapshot, "entrepot backup list" shows them`, {
    cause,
  });
}

function newer(file: string, format: number): BackupFault {
  return new BackupFault(
    `${file} is of a newer program (format ${format}, this one knows ${BACKUP_FORMAT}): use the version that wrote it`,
  );
}

/** Repository by repository, in the order of their names. */
export async function* repositoriesIn(file: string): AsyncGenerator<RepositoryContent> {
  let content: Building | undefined;
  for await (const line of readLines(file)) {
    if ('repository' in line) {
      if (content !== undefined) yield content;
      content = { name: line.repository, layers: [], manifests: [], tags: [] };
    } else if (content === undefined) continue;
    else if ('layer' in line) content.layers.push({ digest: line.layer, size: line.size });
    else if ('manifest' in line) content.manifests.push(manifestOf(line));
    else if ('tag' in line) content.tags.push(line);
  }
  if (content !== undefined) yield content;
}

interface Building extends RepositoryContent {
  readonly layers: BlobRow[];
  readonly manifests: ManifestRow[];
  readonly tags: TagRow[];
}

function manifestOf(line: Extract<SnapshotLine, { manifest: unknown }>): ManifestRow {
  const { manifest: digest, size, pushedAt, pulledAt } = line;
  return { digest, size, pushedAt, pulledAt };
}

/** Every blob and manifest, once for each repository that has it. */
export async function* blobsIn(file: string): AsyncGenerator<BlobRow> {
  for await (const line of readLines(file)) {
    if ('layer' in line) yield { digest: line.layer, size: line.size };
    else if ('manifest' in line) yield { digest: line.manifest, size: line.size };
  }
}

/** The moves of tags, the oldest first. */
export async function* historyIn(file: string): AsyncGenerator<HistoryRow> {
  for await (const line of readLines(file)) if ('moved' in line) yield line.moved;
}

/** How the backup ended. @throws BackupFault for a list that is cut off */
export async function endOf(file: string): Promise<SnapshotEnd> {
  let end: SnapshotEnd | undefined;
  for await (const line of readLines(file)) if ('end' in line) end = line.end;
  if (end === undefined) throw damaged(file, 'it has no end');
  return end;
}
