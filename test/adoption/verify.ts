import assert from 'node:assert/strict';
import { MEDIA_TYPES } from '../../oci/media-types.ts';
import { request, type Endpoint } from '../harness/push.ts';
import { subjectOf, type Holdings } from './holdings.ts';

/** Which registry answers: Distribution 2.8 has no referrers, and no tag list where no tag is. */
export type Kind = 'entrepot' | 'distribution';

const ACCEPT = { Accept: Object.values(MEDIA_TYPES).join(', ') };

/**
 * Holds all that a registry serves against the holdings: catalog, tag lists, every manifest by tag and digest, every
 * blob, referrers, and that what is gone is gone. The first requests go to single objects, the lists come last: a
 * server that answers from an index must not need a list to find an object.
 *
 * @returns how many answers it looked at
 * @throws AssertionError at the first that is wrong
 */
export async function verifyHoldings(registry: Endpoint, holdings: Holdings, kind: Kind): Promise<number> {
  const verification = new Verification(registry, holdings);
  await verification.repositories(kind);
  await verification.catalog();
  return verification.answers;
}

/** As `verifyHoldings`, for a registry that has other repositories beside these. */
export async function verifyContents(registry: Endpoint, holdings: Holdings, kind: Kind = 'entrepot'): Promise<number> {
  const verification = new Verification(registry, holdings);
  await verification.repositories(kind);
  return verification.answers;
}
class Verification {
  answers = 0;
  readonly #registry: Endpoint;
  readonly #holdings: Holdings;

  constructor(registry: Endpoint, holdings: Holdings) {
    this.#registry = registry;
    this.#holdings = holdings;
  }

  async repositories(kind: Kind): Promise<void> {
    const names = this.#holdings.names();
    for (const name of names) await this.#objects(name);
    for (const name of names) await this.#tagList(name, kind);
    if (kind === 'entrepot') for (const name of names) await this.#referrers(name);
  }

  async #objects(name: string): Promise<void> {
    const { blobs, manifests, tags, gone } = this.#holdings.repository(name);
    for (const [tag, digest] of tags) await this.#manifest(name, tag, digest);
    for (const digest of manifests.keys()) await this.#manifest(name, digest, digest);
    for (const [digest, bytes] of blobs) await this.#blob(name, digest, bytes);
    for (const reference of gone.references) await this.#ask('GET', `/v2/${name}/manifests/${reference}`, 404);
    for (const digest of gone.blobs) await this.#ask('GET', `/v2/${name}/blobs/${digest}`, 404);
  }

  async #tagList(name: string, kind: Kind): Promise<void> {
    const tags = [...this.#holdings.repository(name).tags.keys()];
    // Distribution knows a repository by its tags.
    if (tags.length === 0 && kind === 'distribution') return;
    const list = await this.#json<{ name: string; tags: string[] | null }>(`/v2/${name}/tags/list?n=10000`);
    assert.deepEqual([list.name, (list.tags ?? []).toSorted()], [name, tags.toSorted()]);
  }

  async #referrers(name: string): Promise<void> {
    const { manifests } = this.#holdings.repository(name);
    const subjects = [...manifests.values()].map(subjectOf).filter((subject) => subject !== undefined);
    for (const subject of new Set([...subjects, ...manifests.keys()])) {
      const index = await this.#json<{ manifests: { digest: string }[] }>(`/v2/${name}/referrers/${subject}`);
      const found = index.manifests.map(({ digest }) => digest);
      assert.deepEqual(found.toSorted(), this.#holdings.referrers(name, subject), `referrers of ${name}@${subject}`);
    }
  }

  async catalog(): Promise<void> {
    const { repositories } = await this.#json<{ repositories: string[] }>('/v2/_catalog?n=1000');
    assert.deepEqual(repositories.toSorted(), this.#holdings.names());
  }

  async #manifest(name: string, reference: string, digest: string): Promise<void> {
    const path = `/v2/${name}/manifests/${reference}`;
    const expected = this.#holdings.repository(name).manifests.get(digest);
    assert.ok(expected !== undefined, `the holdings lack ${digest}`);
    for (const method of ['HEAD', 'GET']) {
      const response = await this.#ask(method, path, 200);
      assert.equal(response.headers.get('docker-content-digest'), digest, path);
      assert.equal(response.headers.get('content-type'), expected.mediaType, path);
      if (method === 'GET') await hasBody(response, expected.bytes);
    }
  }

  async #blob(name: string, digest: string, bytes: Uint8Array): Promise<void> {
    const path = `/v2/${name}/blobs/${digest}`;
    const { headers } = await this.#ask('HEAD', path, 200);
    assert.equal(headers.get('content-length'), String(bytes.length), path);
    await hasBody(await this.#ask('GET', path, 200), bytes);
  }

  async #json<T>(path: string): Promise<T> {
    return JSON.parse(await (await this.#ask('GET', path, 200)).text()) as T;
  }

  async #ask(method: string, path: string, status: number): Promise<Response> {
    this.answers += 1;
    return request(this.#registry, method, path, { status, headers: ACCEPT });
  }
}

async function hasBody(response: Response, expected: Uint8Array): Promise<void> {
  const body = Buffer.from(await response.arrayBuffer());
  assert.ok(body.equals(expected), `${response.url}: other bytes than were pushed`);
}
