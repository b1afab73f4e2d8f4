import { RegistryError } from '../../oci/errors.ts';
import { parseTag, type Reference, type RepositoryName } from '../../oci/names.ts';
import { etagOf, isNotModified, notModified, preconditionOf } from '../http/conditions.ts';
import type { Exchange, Reply } from '../http/exchange.ts';
import type { Services } from './services.ts';

interface ManifestParams {
  readonly name: RepositoryName;
  readonly 'tag-or-digest': Reference;
}

// Far above what anybody pushes, and what a request line can carry anyway.
const MAX_TAGS = 256;

// distribution-spec, "Warnings".
const MAY_BE_OLD = '299 - "the index cannot be asked: this is what the tag pointed to when it was asked last"';

/** end-3. `Accept` changes nothing: a client gets what was pushed, or would get nothing at all. */
export async function getManifest(services: Services, exchange: Exchange<ManifestParams>): Promise<Reply> {
  const { name, 'tag-or-digest': reference } = exchange.params;
  const { manifests, pulls } = services.registry;
  const isQuestion = exchange.method === 'HEAD' && reference.digest !== undefined;
  const manifest = isQuestion ? await manifests.promise(name, reference.digest) : await manifests.get(name, reference);
  // Whoever asks by a tag whether it has moved runs it; by a digest, others ask whether they have to push it.
  if (!isQuestion) pulls.note(name, manifest.digest);
  const headers = {
    'Content-Type': manifest.mediaType,
    'Content-Length': manifest.size,
    'Docker-Content-Digest': manifest.digest,
    ETag: etagOf(manifest.digest),
    // A tag moves; what has a digest never changes.
    'Cache-Control': reference.tag === undefined ? 'max-age=31536000, immutable' : 'no-cache',
    ...(reference.tag !== undefined && manifest.isRemembered === true && { Warning: MAY_BE_OLD }),
  };
  if (isNotModified(exchange.headers, manifest.digest)) return notModified(headers);
  if (exchange.method === 'HEAD') return { status: 200, headers };
  return { status: 200, headers, body: await manifests.bytes(name, manifest) };
}

/** end-7a, end-7b. */
export async function putManifest(services: Services, exchange: Exchange<ManifestParams>): Promise<Reply> {
  const { name, 'tag-or-digest': reference } = exchange.params;
  const { maxManifestBytes, registry, location } = services;
  const tags = parseTags(exchange.query, reference);
  const bytes = await exchange.body.whole(maxManifestBytes, () => isTooLarge(maxManifestBytes));
  const pushed = await registry.manifests.put({
    name,
    reference,
    tags,
    bytes,
    contentType: exchange.headers['content-type'],
    precondition: preconditionOf(exchange.headers),
    rights: exchange.rights,
  });
  return {
    status: 201,
    headers: {
      Location: location(`/v2/${name}/manifests/${reference.tag ?? pushed.digest}`),
      'Docker-Content-Digest': pushed.digest,
      ETag: etagOf(pushed.digest),
      ...(pushed.subject === undefined ? {} : { 'OCI-Subject': pushed.subject }),
      ...(tags.length === 0 ? {} : { 'OCI-Tag': tags.join(', ') }),
    },
  };
}

/** end-9. */
export async function deleteManifest(services: Services, exchange: Exchange<ManifestParams>): Promise<Reply> {
  const { name, 'tag-or-digest': reference } = exchange.params;
  const { manifests, tags } = services.registry;
  const precondition = preconditionOf(exchange.headers);
  if (reference.tag === undefined) await manifests.delete(name, reference.digest, exchange.rights, { precondition });
  else await tags.delete(name, reference.tag, { precondition });
  return { status: 202 };
}

function parseTags(query: URLSearchParams, reference: Reference) {
  const tags = query.getAll('tag');
  if (tags.length > MAX_TAGS) {
    const reason = `at most ${MAX_TAGS} tags in one request: push the manifest again with the rest`;
    throw new RegistryError('UNSUPPORTED', { status: 414, detail: { tags: tags.length, reason } });
  }
  if (tags.length > 0 && reference.tag !== undefined) {
    const reason = 'tag parameters go with a digest in the path';
    throw new RegistryError('UNSUPPORTED', { status: 400, detail: { reference: reference.tag, reason } });
  }
  return [...new Set(tags)].map(parseTag);
}

function isTooLarge(maxBytes: number): RegistryError {
  const reason = `a manifest has at most ${maxBytes} bytes (manifests.maxSize)`;
  return new RegistryError('MANIFEST_INVALID', { status: 413, detail: { maxBytes, reason } });
}
