/** The media types that carry meaning for a registry (image-spec, media-types.md; Docker image manifest v2, schema 2). */
export const MEDIA_TYPES = {
  imageManifest: 'application/vnd.oci.image.manifest.v1+json',
  imageIndex: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerManifestList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
  /** The artifact manifest of the 1.1 release candidates: withdrawn, but stores that were adopted may hold some. */
  artifactManifest: 'application/vnd.oci.artifact.manifest.v1+json',
} as const;

/** Layers that a client need not push, because they are fetched from elsewhere. */
const NON_DISTRIBUTABLE =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar(?:\+.+)?|docker\.image\.rootfs\.foreign\.diff\.tar(?:\..+)?)$/;

export function isNonDistributable(mediaType: string): boolean {
  return NON_DISTRIBUTABLE.test(mediaType);
}

/** `type/subtype` of a Content-Type header, without its parameters; undefined for none. */
export function mediaTypeOf(contentType: string | undefined): string | undefined {
  if (contentType === undefined) return undefined;
  const semicolon = contentType.indexOf(';');
  const bare = (semicolon === -1 ? contentType : contentType.slice(0, semicolon)).trim();
  return bare === '' ? undefined : bare;
}

// RFC 6838 section 4.2, which the image-spec demands of every mediaType and artifactType.
const MEDIA_TYPE = /^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/;

export function isMediaType(text: string): boolean {
  return MEDIA_TYPE.test(text);
}
