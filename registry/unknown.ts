import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import type { RepositoryName } from '../oci/names.ts';

/*
 * What is not there. The answers say nothing of other repositories: "absent" and "not yours" are alike.
 */

export function blobUnknown(name: RepositoryName, digest: Digest): RegistryError {
  const reason = 'the repository has no such blob: push it, or mount it from a repository that has it';
  return new RegistryError('BLOB_UNKNOWN', { detail: { name, digest, reason } });
}

/** It was here, and its bytes were found damaged or gone: never wrong bytes. */
export function blobDamaged(name: RepositoryName, digest: Digest): RegistryError {
  const reason = `the stored bytes of this blob were found damaged or gone: ${HEALS}`;
  return new RegistryError('BLOB_UNKNOWN', { detail: { name, digest, reason } });
}

/** The same for a manifest. */
export function manifestDamaged(name: RepositoryName, reference: string, digest: Digest): RegistryError {
  const reason = `the stored bytes of this manifest were found damaged or gone: ${HEALS}`;
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { name, reference, digest, reason } });
}

const HEALS = 'pushing it again heals it, here and in every repository that has it';

/** @param reference the tag or the digest */
export function manifestUnknown(name: RepositoryName, reference: string): RegistryError {
  const reason = 'the repository has no such tag or manifest: look at its tags/list, or push it';
  return new RegistryError('MANIFEST_UNKNOWN', { detail: { name, reference, reason } });
}

export function repositoryUnknown(name: RepositoryName): RegistryError {
  const reason = 'there is no such repository: look at /v2/_catalog; it comes into being with the first push';
  return new RegistryError('NAME_UNKNOWN', { detail: { name, reason } });
}
