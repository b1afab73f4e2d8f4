import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { buffer } from 'node:stream/consumers';
import { directoryFiles, type TreeFiles } from './tree-files.ts';
import { emptyVerdict, forEachOf, type Verdict } from './verdict.ts';

const BLOB = /^blobs\/(sha256|sha512)\/([0-9a-f]{2})\/\2[0-9a-f]+\/data$/;
const LINK =
  /^repositories\/.+\/(?:_layers|_manifests\/revisions|_manifests\/tags\/[^/]+\/index)\/(sha256|sha512)\/([0-9a-f]+)\/link$/;
const CURRENT = /^repositories\/(.+)\/_manifests\/tags\/([^/]+)\/current\/link$/;
const UPLOAD = /^repositories\/.+\/_uploads\//;

/**
 * Looks at Distribution's tree in a store that no server writes to at the moment: every blob hashes to the name of its
 * directory, every link names a blob that is there, every tag a revision, and nothing else lies around.
 */
export class TreeVerifier {
  readonly #files: TreeFiles;
  /** Blob files that were hashed before and are the same file still. */
  readonly #hashed = new Map<string, string>();

  /** @param store a root, or the files of another store */
  constructor(store: string | TreeFiles) {
    this.#files = typeof store === 'string' ? directoryFiles(store) : store;
  }

  /** @param scope `new`: hash only the files that were not hashed before */
  async verify(scope: 'new' | 'all'): Promise<Verdict> {
    if (scope === 'all') this.#hashed.clear();
    const verdict = emptyVerdict();
    const files = await this.#files.list();
    for (const name of await this.#files.top()) {
      if (!['docker', '.meta', 'lost+found'].includes(name)) verdict.wrong.push(`${name} lies in the root`);
    }
    await forEachOf([...files], 8, (file) => this.#check(file, files, verdict));
    return verdict;
  }

  /** What each tag's `current/link` holds, by `<repository>:<tag>`. */
  async tags(): Promise<ReadonlyMap<string, string>> {
    const tags = new Map<string, string>();
    for (const file of await this.#files.list()) {
      const [, repository, tag] = CURRENT.exec(file) ?? [];
      if (tag !== undefined) tags.set(`${repository}:${tag}`, await this.#text(file));
    }
    return tags;
  }

  async #text(file: string): Promise<string> {
    return (await buffer(await this.#files.open(file))).toString('latin1');
  }

  async #check(file: string, files: ReadonlySet<string>, verdict: Verdict): Promise<void> {
    if (UPLOAD.test(file)) return;
    verdict.checked += 1;
    if (BLOB.test(file)) return this.#checkBlob(file, verdict);
    const link = LINK.exec(file);
    const current = CURRENT.exec(file);
    if (link === null && current === null) {
      verdict.wrong.push(`a stray file: ${file}`);
      return;
    }
    const content = await this.#text(file);
    const expected = link === null ? content : `${link[1]}:${link[2]}`;
    if (content !== expected) verdict.wrong.push(`${file} holds ${JSON.stringify(content)}`);
    if (!files.has(blobFile(content))) verdict.wrong.push(`${file} names ${content}, of which there is no blob`);
    if (
      current !== null &&
      !files.has(`repositories/${current[1]}/_manifests/revisions/${content.replace(':', '/')}/link`)
    ) {
      verdict.wrong.push(`${file} names ${content}, which is no revision`);
    }
  }

  async #checkBlob(file: string, verdict: Verdict): Promise<void> {
    const identity = await this.#files.identity(file);
    if (this.#hashed.get(file) === identity) return;
    const [, hex = '', , algorithm = ''] = file.split('/').toReversed();
    const hash = createHash(algorithm);
    let size = 0;
    await pipeline(
      await this.#files.open(file),
      async function* (chunks: Readable) {
        for await (const chunk of chunks as AsyncIterable<Buffer>) {
          size += chunk.length;
          yield chunk;
        }
      },
      hash,
    );
    verdict.hashedBytes += size;
    const digest = hash.digest('hex');
    if (digest !== hex) verdict.wrong.push(`${file} (${size} bytes) hashes to ${digest}`);
    this.#hashed.set(file, identity);
  }
}

function blobFile(digest: string): string {
  const [algorithm, hex = ''] = digest.split(':');
  return `blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
}
