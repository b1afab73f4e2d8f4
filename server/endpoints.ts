import { endpoint, type Endpoint } from './http/endpoint.ts';
import { getBase } from './v2/base.ts';
import { deleteBlob, getBlob } from './v2/blobs.ts';
import { listRepositories } from './v2/catalog.ts';
import { deleteManifest, getManifest, putManifest } from './v2/manifests.ts';
import { listReferrers } from './v2/referrers.ts';
import type { Services } from './v2/services.ts';
import { listTags } from './v2/tags.ts';
import { deleteUpload, getUpload, mountBlob, openUpload, patchUpload, postBlob, putUpload } from './v2/uploads.ts';

const UPLOADS = '/v2/<name>/blobs/uploads/';
// The spec's `<blob-push-location>`.
const UPLOAD = '/v2/<name>/blobs/uploads/<upload>';
const MANIFEST = '/v2/<name>/manifests/<tag-or-digest>';

/**
 * The spec's table of endpoints, row for row. Of rows that share method and path, the first whose query parameters are
 * all there is meant; rows that differ from another in optional parameters only (end-7b, end-8b, end-12b) share its
 * handler. A GET answers HEAD too (RFC 9110 section 9.3.2).
 */
export function endpoints(services: Services): readonly Endpoint[] {
  return [
    endpoint('end-1', 'GET / HEAD', '/v2/', 'none', () => getBase()),
    endpoint('end-1', 'GET / HEAD', '/v2', 'none', () => getBase()),
    endpoint('end-2', 'GET / HEAD', '/v2/<name>/blobs/<digest>', 'pull', (x) => getBlob(services, x)),
    endpoint('end-3', 'GET / HEAD', MANIFEST, 'pull', (x) => getManifest(services, x)),
    endpoint('end-11', 'POST ?mount', UPLOADS, 'push', (x) => mountBlob(services, x)),
    endpoint('end-4b', 'POST ?digest', UPLOADS, 'push', (x) => postBlob(services, x)),
    endpoint('end-4c', 'POST ?digest-algorithm', UPLOADS, 'push', (x) => openUpload(services, x)),
    endpoint('end-4a', 'POST', UPLOADS, 'push', (x) => openUpload(services, x)),
    endpoint('end-5', 'PATCH', UPLOAD, 'push', (x) => patchUpload(services, x)),
    endpoint('end-6', 'PUT', UPLOAD, 'push', (x) => putUpload(services, x)),
    endpoint('end-7b', 'PUT ?tag', MANIFEST, 'push', (x) => putManifest(services, x)),
    endpoint('end-7a', 'PUT', MANIFEST, 'push', (x) => putManifest(services, x)),
    endpoint('end-8b', 'GET / HEAD ?n', '/v2/<name>/tags/list', 'pull', (x) => listTags(services, x)),
    endpoint('end-8a', 'GET / HEAD', '/v2/<name>/tags/list', 'pull', (x) => listTags(services, x)),
    endpoint('end-9', 'DELETE', MANIFEST, 'delete', (x) => deleteManifest(services, x)),
    endpoint('end-10', 'DELETE', '/v2/<name>/blobs/<digest>', 'delete', (x) => deleteBlob(services, x)),
    endpoint('end-12b', 'GET / HEAD ?artifactType', '/v2/<name>/referrers/<digest>', 'pull', (x) =>
      listReferrers(services, x),
    ),
    endpoint('end-12a', 'GET / HEAD', '/v2/<name>/referrers/<digest>', 'pull', (x) => listReferrers(services, x)),
    endpoint('end-13', 'GET / HEAD', UPLOAD, 'push', (x) => getUpload(services, x)),
    endpoint('end-14', 'DELETE', UPLOAD, 'push', (x) => deleteUpload(services, x)),
    endpoint('catalog', 'GET / HEAD', '/v2/_catalog', 'catalog', (x) => listRepositories(services, x)),
  ];
}
