import { createHash } from 'node:crypto';
import { z } from 'zod';
import { digestOf, type Digest } from '../oci/digest.ts';
import { MEDIA_TYPES } from '../oci/media-types.ts';

export const IMAGE_MANIFEST = MEDIA_TYPES.imageManifest;
export const IMAGE_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const IMAGE_LAYER = 'application/vnd.oci.image.layer.v1.tar';

const NAMES = z.array(z.string()).nullish();
const PAGE = z.object({ tags: NAMES, repositories: NAMES });

/** What the benchmark asks of a registry outside the measured time. Every unexpected answer is an error. */
export interface Client {
  pushBlob(repository: string, bytes: Buffer): Promise<Digest>;
  putManifest(repository: string, reference: string, body: string): Promise<Digest>;
  /** The digest of what a GET of `target` gives, read to its end. */
  digestAt(target: string): Promise<Digest>;
  /** The names of a paged list, all pages. */
  list(target: string, property: 'tags' | 'repositories'): Promise<string[]>;
}

export function createClient(host: string): Client {
  const base = `http://${host}`;
  const pushBlob = async (repository: string, bytes: Buffer) => {
    const digest = sha256(bytes);
    const post = await expect(202, `${base}/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(post.headers.get('location') ?? '', base);
    location.searchParams.set('digest', digest);
    const headers = { 'Content-Type': 'application/octet-stream' };
    await expect(201, location.href, { method: 'PUT', body: new Uint8Array(bytes), headers });
    return digest;
  };
  return {
    pushBlob,
    putManifest: async (repository, reference, body) => {
      const headers = { 'Content-Type': IMAGE_MANIFEST };
      await expect(201, `${base}/v2/${repository}/manifests/${reference}`, { method: 'PUT', body, headers });
      return sha256(Buffer.from(body));
    },
    digestAt: (target) => digestOfBody(base + target),
    list: (target, property) => listAll(base, target, property),
  };
}

export function sha256(bytes: Buffer): Digest {
  return digestOf('sha256', createHash('sha256').update(bytes).digest('hex'));
}

async function expect(status: number, url: string, init: RequestInit): Promise<Response> {
  const response = await fetch(url, init);
  const text = init.method === undefined ? '' : await response.text();
  if (response.status !== status) throw new Error(`${init.method ?? 'GET'} ${url}: ${response.status} ${text}`);
  return response;
}

async function digestOfBody(url: string): Promise<Digest> {
  const response = await fetch(url, { headers: { Accept: `${IMAGE_MANIFEST}, */*` } });
  if (response.status !== 200 || response.body === null) throw new Error(`GET ${url}: ${response.status}`);
  const hash = createHash('sha256');
  for await (const chunk of response.body) hash.update(chunk);
  return digestOf('sha256', hash.digest('hex'));
}

async function listAll(base: string, target: string, property: 'tags' | 'repositories'): Promise<string[]> {
  const names: string[] = [];
  for (let next: string | undefined = target; next !== undefined;) {
    const response: Response = await expect(200, new URL(next, base).href, {});
    names.push(...(PAGE.parse(await response.json())[property] ?? []));
    next = /<([^>]+)>/.exec(response.headers.get('link') ?? '')?.[1];
  }
  return names;
}
