import { isDigest, parseDigest, type Digest } from './digest.ts';
import { RegistryError, type ErrorCode } from './errors.ts';

declare const repositoryNameBrand: unique symbol;
declare const tagBrand: unique symbol;

/** A repository name by the spec's grammar and at most 255 characters; only its parser makes one. */
export type RepositoryName = string & { readonly [repositoryNameBrand]: true };

/** A tag by the spec's grammar; only its parser makes one. */
export type Tag = string & { readonly [tagBrand]: true };

/** What may stand behind `/manifests/`: `<tag-or-digest>`. */
export type Reference =
  | { readonly tag: Tag; readonly digest?: never }
  | { readonly digest: Digest; readonly tag?: never };

/** Clients refuse longer names (distribution-spec, "Pulling manifests", implementers' note). */
export const REPOSITORY_NAME_MAX_LENGTH = 255;
export const TAG_MAX_LENGTH = 128;

// The spec's expression, without a nested quantifier over the same character, so that it stays linear.
const REPOSITORY_NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= REPOSITORY_NAME_MAX_LENGTH && REPOSITORY_NAME.test(text);
}

/** @throws RegistryError `NAME_INVALID` with the rule that was broken */
export function parseRepositoryName(text: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  const reason =
    text.length > REPOSITORY_NAME_MAX_LENGTH
      ? `a repository name has at most ${REPOSITORY_NAME_MAX_LENGTH} characters, this one has ${text.length}`
      : 'a repository name is made of lower-case letters and digits, separated by one of . _ __ - or /';
  throw new RegistryError('NAME_INVALID', { detail: { name: text.slice(0, 300), reason } });
}

export function isTag(text: string): text is Tag {
  return TAG.test(text);
}

/** @throws RegistryError `MANIFEST_INVALID` (the spec has no code of its own for a tag) with the rule that was broken */
export function parseTag(text: string): Tag {
  return tagOf(text, 'MANIFEST_INVALID');
}

function tagOf(text: string, otherwise: ErrorCode): Tag {
  if (isTag(text)) return text;
  const reason =
    text.length > TAG_MAX_LENGTH
      ? `a tag has at most ${TAG_MAX_LENGTH} characters, this one has ${text.length}`
      : 'a tag is made of letters, digits, _ . and -, and does not start with . or -';
  throw new RegistryError(otherwise, { detail: { tag: text.slice(0, 200), reason } });
}

/**
 * Parses the `<tag-or-digest>` of a manifest to be pushed. A colon makes it a digest: no tag has one.
 *
 * @throws RegistryError `DIGEST_INVALID` or `MANIFEST_INVALID`
 */
export function parseReference(text: string): Reference {
  return referenceOf(text, 'MANIFEST_INVALID');
}

/**
 * The same for a manifest that is looked for. What cannot be a tag is none: the spec's "not found", which its suite
 * of 1.1 asks for by such a name.
 *
 * @throws RegistryError `DIGEST_INVALID` or `MANIFEST_UNKNOWN`
 */
export function parseWantedReference(text: string): Reference {
  return referenceOf(text, 'MANIFEST_UNKNOWN');
}

function referenceOf(text: string, otherwise: ErrorCode): Reference {
  if (isDigest(text)) return { digest: text };
  return text.includes(':') ? { digest: parseDigest(text) } : { tag: tagOf(text, otherwise) };
}

declare const uploadIdBrand: unique symbol;

/** The id of an upload session: a UUID in lower case. */
export type UploadId = string & { readonly [uploadIdBrand]: true };

const UPLOAD_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function isUploadId(text: string): text is UploadId {
  return UPLOAD_ID.test(text);
}

/** @throws RegistryError `BLOB_UPLOAD_UNKNOWN`: an id that this registry never gave out names no session */
export function parseUploadId(text: string): UploadId {
  if (isUploadId(text)) return text;
  const reason = 'not an upload id: use the Location of the answer that opened the upload';
  throw new RegistryError('BLOB_UPLOAD_UNKNOWN', { detail: { upload: text.slice(0, 100), reason } });
}
