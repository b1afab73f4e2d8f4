import type { Request, RequestHandler } from 'express';
import { parseDigest, type Digest } from '../../oci/digest.ts';
import { parseRepositoryName, parseTag, type RepositoryName, type Tag } from '../../oci/names.ts';

/** A repository, or a tag or a manifest of it. */
export interface RepositoryPath {
  readonly repository: RepositoryName;
  readonly tag?: Tag;
  readonly digest?: Digest;
}

/**
 * What `/repositories/<name>/<word>`, `.../tags/<tag>/<word>` or `.../manifests/<digest>/<word>` is about. As it came: names
 * need no encoding, and `params` would be decoded. Of a name that contains `/tags/` the last one decides, as in `/v2/`.
 *
 * @throws RegistryError `NAME_INVALID`, `DIGEST_INVALID`
 */
export function repositoryPathOf(request: Request): RepositoryPath {
  const [, path = ''] = /^\/repositories\/(.+)\/[a-z]+$/.exec(request.path) ?? [];
  const [, name, noun, reference = ''] = /^(.+)\/(tags|manifests)\/([^/]+)$/.exec(path) ?? [];
  if (name === undefined) return { repository: parseRepositoryName(path) };
  const repository = parseRepositoryName(name);
  return noun === 'tags' ? { repository, tag: parseTag(reference) } : { repository, digest: parseDigest(reference) };
}

/** The same where it is about a tag. */
export function tagPathOf(request: Request): { readonly repository: RepositoryName; readonly tag: Tag } {
  const { repository, tag = parseTag('') } = repositoryPathOf(request);
  return { repository, tag };
}

/** A repository may be called as such a path ends, and is then deleted there. */
export const passOn: RequestHandler = (_request, _response, next) => next('route');
