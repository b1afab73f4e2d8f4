/** What an entry of a layer is: a directory unless it has bytes or a target. */
export interface TarEntry {
  /** Without a leading slash, at most 100 bytes. */
  readonly path: string;
  readonly bytes?: Uint8Array;
  /** Makes it a symbolic link. */
  readonly target?: string;
  /** 0755 where not given. */
  readonly mode?: number;
}

const BLOCK_BYTES = 512;

/** A POSIX ustar archive. The same entries give the same bytes: every time is 0 and every owner is root. */
export function tarOf(entries: readonly TarEntry[]): Buffer {
  const end = Buffer.alloc(2 * BLOCK_BYTES);
  return Buffer.concat([...entries.flatMap((entry) => [headerOf(entry), paddedContent(entry)]), end]);
}

function paddedContent({ bytes = new Uint8Array() }: TarEntry): Buffer {
  const padded = Buffer.alloc(Math.ceil(bytes.length / BLOCK_BYTES) * BLOCK_BYTES);
  padded.set(bytes);
  return padded;
}

function headerOf(entry: TarEntry): Buffer {
  if (Buffer.byteLength(entry.path) > 100) throw new Error(`too long for a plain tar header: ${entry.path}`);
  const header = Buffer.alloc(BLOCK_BYTES);
  header.write(entry.path, 0);
  writeOctal(header, 100, 8, entry.mode ?? 0o755);
  writeOctal(header, 108, 8, 0);
  writeOctal(header, 116, 8, 0);
  writeOctal(header, 124, 12, entry.bytes?.length ?? 0);
  writeOctal(header, 136, 12, 0);
  header.write(typeFlagOf(entry), 156);
  header.write(entry.target ?? '', 157);
  header.write('ustar\u000000', 257, 'latin1');
  writeChecksum(header);
  return header;
}

function typeFlagOf({ bytes, target }: TarEntry): string {
  if (target !== undefined) return '2';
  return bytes === undefined ? '5' : '0';
}

function writeOctal(header: Buffer, offset: number, width: number, value: number): void {
  header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, offset, 'latin1');
}

// The sum is taken with its own field full of spaces.
function writeChecksum(header: Buffer): void {
  header.write(' '.repeat(8), 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}
