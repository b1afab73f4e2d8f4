import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { emptyVerdict, forEachOf, type Verdict } from './verdict.ts';

const BLOB = /^blobs\/(sha256|sha512)\/([0-9a-f]{2})\/\2[0-9a-f]+\/data$/;
const LINK =
  /^repositories\/.+\/(?:_layers|_manifests\/revisions|_manifests\/tags\/[^/]+\/index)\/(sha256|sha512)\/([0-9a-f]+)\/link$/;
const CURRENT = /^repositories\/(.+)\/_manifests\/tags\/[^/]+\/current\/link$/;
const UPLOAD = /^repositories\/.+\/_uploads\//;

/**
 * Looks at Distribution's tree below a root that no server writes to at the moment: every blob hashes to the name of its
 * directory, every link names a blob that is there, every tag a revision, and nothing else lies around.
 */
export class TreeVerifier {
  readonly #root: string;
  /** Blob files that were hashed before and are the same file still. */
  readonly #hashed = new Map<string, string>();

  constructor(root: string) {
    this.#root = root;
  }

  /** @param scope `new`: hash only the files that were not hashed before */
  async verify(scope: 'new' | 'all'): Promise<Verdict> {
    if (scope === 'all') this.#hashed.clear();
    const verdict = emptyVerdict();
    const tree = path.join(this.#root, 'docker/registry/v2');
    const files = await filesBelow(tree);
    await this.#checkTop(verdict);
    await forEachOf([...files], 8, (file) => this.#check(tree, file, files, verdict));
    return verdict;
  }

  async #checkTop(verdict: Verdict): Promise<void> {
    for (const name of await readdir(this.#root)) {
      if (!['docker', '.meta', 'lost+found'].includes(name)) verdict.wrong.push(`${name} lies in the root`);
    }
  }

  async #check(tree: string, file: string, files: ReadonlySet<string>, verdict: Verdict): Promise<void> {
    if (UPLOAD.test(file)) return;
    verdict.checked += 1;
    if (BLOB.test(file)) return this.#checkBlob(path.join(tree, file), verdict);
    const link = LINK.exec(file);
    const current = CURRENT.exec(file);
    if (link === null && current === null) {
      verdict.wrong.push(`a stray file: ${file}`);
      return;
    }
    const content = await readFile(path.join(tree, file), 'latin1');
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
    const { ino, size, mtimeMs } = await stat(file);
    const identity = `${ino} ${size} ${mtimeMs}`;
    if (this.#hashed.get(file) === identity) return;
    const [hex = '', , algorithm = ''] = path.dirname(file).split('/').toReversed();
    const hash = createHash(algorithm);
    await pipeline(createReadStream(file), hash);
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

async function filesBelow(directory: string): Promise<Set<string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return new Set(
    entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => path.relative(directory, path.join(entry.parentPath, entry.name))),
  );
}
