import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/errors.ts';
import type { Tag } from '../oci/names.ts';

/* Why a manifest is not taken, or not deleted, and what to do about it. */

// A manifest may name 50,000 blobs; nobody reads as many in an error.
const MISSING_NAMED_MAX = 100;

export function hasWrongSize(digest: Digest, actual: number, claimed: number): RegistryError {
  const reason = `the blob ${digest} has ${actual} bytes, the manifest says ${claimed}: correct the size`;
  return new RegistryError('MANIFEST_INVALID', { detail: { digest, size: actual, claimed, reason } });
}

export function missesBlobs(missing: readonly Digest[]): RegistryError {
  const reason = 'push these blobs to this repository (or mount them) before the manifest';
  const named = missing.slice(0, MISSING_NAMED_MAX);
  return new RegistryError('MANIFEST_BLOB_UNKNOWN', {
    detail: { digest: missing[0], missing: named, missingCount: missing.length, reason },
  });
}

export function mayNotMove(tag: Tag): RegistryError {
  const reason = `the tag exists, and you may not move it: push under another tag, or delete it first`;
  return new RegistryError('DENIED', { detail: { action: 'overwrite', tag, reason } });
}

export function mayNotAttach(subject: Digest, tag: Tag): RegistryError {
  const reason = `its subject has the tag ${tag}, and you may push to none of the tags that it has`;
  return new RegistryError('DENIED', { detail: { action: 'push', subject, tag, reason } });
}

export function mayNotDelete(digest: Digest, tag: Tag | undefined): RegistryError {
  const reason =
    tag === undefined
      ? 'you may delete some tags here, but not what has none'
      : `the tag ${tag} points to it, and you may not delete that`;
  return new RegistryError('DENIED', { detail: { action: 'delete', digest, tag, reason } });
}
