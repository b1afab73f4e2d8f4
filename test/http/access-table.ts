import { digestOf, imageManifest } from './content.ts';

/*
 * Who may do what, cell by cell: the rules, and the status that each request gets from each kind of caller.
 */
export const RULES = [
  { who: 'puller', actions: 'pull', repositories: 'team/**' },
  { who: 'pusher', actions: 'push', repositories: 'team/**' },
  { who: 'writer', actions: ['pull', 'push'], repositories: 'team/**' },
  { who: 'writer', actions: ['overwrite', 'delete'], repositories: 'team/**', tags: ['latest', 'dev-*'] },
  { who: 'owner', actions: 'all', repositories: ['own/**'] },
  { who: 'robot:builder', actions: ['pull', 'push'], repositories: ['team/**', 'other/**'] },
  { who: 'root', actions: 'all' },
];
export const USERS = ['puller', 'pusher', 'writer', 'owner', 'root'] as const;
/** Access tokens: of a robot, and of `root` until it expired or was revoked. */
export const SECRETS = ['robot', 'expired', 'revoked'] as const;
export type Column = 'nobody' | 'wrong' | (typeof USERS)[number] | (typeof SECRETS)[number];
export const COLUMNS: readonly Column[] = ['nobody', 'wrong', ...USERS, ...SECRETS];

const BLOB = digestOf('{}');
export const MANIFEST = imageManifest('{}', []);
const ABSENT = digestOf('absent');
export const TYPE = { 'Content-Type': 'application/vnd.oci.image.manifest.v1+json' };

export interface Row {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly headers?: Record<string, string>;
  /** One status a column. */
  readonly answers: string;
}

// nobody, wrong, puller, pusher, writer, owner, root, robot, expired, revoked
export const TABLE: readonly Row[] = [
  { method: 'GET', path: '/v2/', answers: '401 401 200 200 200 200 200 200 401 401' },
  { method: 'GET', path: '/v2', answers: '401 401 200 200 200 200 200 200 401 401' },
  { method: 'GET', path: `/v2/team/app/blobs/${BLOB}`, answers: '401 401 200 403 200 403 200 200 401 401' },
  { method: 'HEAD', path: `/v2/team/app/blobs/${BLOB}`, answers: '401 401 200 403 200 403 200 200 401 401' },
  { method: 'GET', path: `/v2/team/app/blobs/${ABSENT}`, answers: '401 401 404 403 404 403 404 404 401 401' },
  { method: 'GET', path: `/v2/team/absent/blobs/${BLOB}`, answers: '401 401 404 403 404 403 404 404 401 401' },
  { method: 'GET', path: '/v2/team/app/manifests/v1', answers: '401 401 200 403 200 403 200 200 401 401' },
  { method: 'GET', path: '/v2/team/app/manifests/absent', answers: '401 401 404 403 404 403 404 404 401 401' },
  {
    method: 'GET',
    path: `/v2/team/app/manifests/${digestOf(MANIFEST)}`,
    answers: '401 401 200 403 200 403 200 200 401 401',
  },
  { method: 'GET', path: '/v2/own/app/manifests/v1', answers: '401 401 403 403 403 200 200 403 401 401' },
  { method: 'GET', path: '/v2/team/app/tags/list', answers: '401 401 200 403 200 403 200 200 401 401' },
  { method: 'GET', path: '/v2/team/app/tags/list?n=1', answers: '401 401 200 403 200 403 200 200 401 401' },
  {
    method: 'GET',
    path: `/v2/team/app/referrers/${digestOf(MANIFEST)}`,
    answers: '401 401 200 403 200 403 200 200 401 401',
  },
  {
    method: 'GET',
    path: `/v2/team/app/referrers/${digestOf(MANIFEST)}?artifactType=a/b`,
    answers: '401 401 200 403 200 403 200 200 401 401',
  },
  { method: 'POST', path: '/v2/team/app/blobs/uploads/', answers: '401 401 403 202 202 403 202 202 401 401' },
  { method: 'POST', path: '/v2/team/new/blobs/uploads/', answers: '401 401 403 202 202 403 202 202 401 401' },
  {
    method: 'POST',
    path: '/v2/team/app/blobs/uploads/?digest-algorithm=sha512',
    answers: '401 401 403 202 202 403 202 202 401 401',
  },
  {
    method: 'POST',
    path: `/v2/team/app/blobs/uploads/?digest=${digestOf('x')}`,
    body: 'x',
    answers: '401 401 403 201 201 403 201 201 401 401',
  },
  // What may be pushed to, but the source may not be pulled from, is an upload as if nothing were there.
  {
    method: 'POST',
    path: `/v2/team/app/blobs/uploads/?mount=${digestOf('owned')}&from=own/app`,
    answers: '401 401 403 202 202 403 201 202 401 401',
  },
  {
    method: 'POST',
    // The robot comes after root, who has brought it here.
    path: `/v2/team/app/blobs/uploads/?mount=${digestOf('owned as well')}`,
    answers: '401 401 403 202 202 403 201 201 401 401',
  },
  {
    method: 'POST',
    path: `/v2/team/mine/blobs/uploads/?mount=${BLOB}`,
    answers: '401 401 403 202 201 403 201 201 401 401',
  },
  {
    method: 'POST',
    path: `/v2/team/mine/blobs/uploads/?mount=${BLOB}&from=team/app`,
    answers: '401 401 403 202 201 403 201 201 401 401',
  },
  {
    method: 'PUT',
    path: '/v2/team/app/manifests/v1',
    body: MANIFEST,
    answers: '401 401 403 201 201 403 201 201 401 401',
  },
  {
    method: 'PUT',
    path: `/v2/team/app/manifests/${digestOf(MANIFEST)}`,
    body: MANIFEST,
    answers: '401 401 403 201 201 403 201 201 401 401',
  },
  {
    method: 'PUT',
    path: `/v2/team/app/manifests/${digestOf(MANIFEST)}?tag=x&tag=y`,
    body: MANIFEST,
    answers: '401 401 403 201 201 403 201 201 401 401',
  },
  { method: 'DELETE', path: '/v2/team/app/manifests/absent', answers: '401 401 403 403 403 403 404 403 401 401' },
  { method: 'DELETE', path: '/v2/team/app/manifests/dev-absent', answers: '401 401 403 403 404 403 404 403 401 401' },
  { method: 'DELETE', path: `/v2/team/app/manifests/${ABSENT}`, answers: '401 401 403 403 404 403 404 403 401 401' },
  { method: 'DELETE', path: `/v2/team/app/blobs/${ABSENT}`, answers: '401 401 403 403 403 403 404 403 401 401' },
  { method: 'GET', path: '/v2/_catalog', answers: '401 401 200 403 200 200 200 200 401 401' },
  { method: 'GET', path: '/v1/_ping', answers: '200 200 200 200 200 200 200 200 200 200' },
  { method: 'GET', path: '/v1/search?q=app', answers: '401 401 200 403 200 200 200 200 401 401' },
  { method: 'DELETE', path: '/api/v1/repositories/team/absent', answers: '401 401 403 403 403 403 404 403 401 401' },
  {
    method: 'GET',
    path: '/api/v1/repositories/team/app/tags/v1/history',
    answers: '401 401 200 403 200 403 200 200 401 401',
  },
  {
    method: 'GET',
    path: '/api/v1/repositories/team/absent/tags/v1/history',
    answers: '401 401 404 403 404 403 404 404 401 401',
  },
  {
    method: 'POST',
    path: '/api/v1/repositories/team/app/tags/absent/restore',
    answers: '401 401 403 404 404 403 404 404 401 401',
  },
  {
    method: 'POST',
    path: '/api/v1/repositories/own/absent/tags/v1/restore',
    answers: '401 401 403 403 403 404 404 403 401 401',
  },
  { method: 'GET', path: '/api/v1/users', answers: '401 401 403 403 403 403 200 403 401 401' },
  { method: 'POST', path: '/api/v1/users', body: '{}', answers: '401 401 403 403 403 403 400 403 401 401' },
  { method: 'PATCH', path: '/api/v1/users/absent', body: '{}', answers: '401 401 403 403 403 403 400 403 401 401' },
  // Of their own, people may; a secret that stands for somebody may not make more of its kind.
  { method: 'GET', path: '/api/v1/tokens', answers: '401 401 200 200 200 200 200 403 401 401' },
  { method: 'POST', path: '/api/v1/tokens', body: '{}', answers: '401 401 400 400 400 400 400 403 401 401' },
  { method: 'DELETE', path: '/api/v1/tokens/999', answers: '401 401 403 403 403 403 404 403 401 401' },
  { method: 'GET', path: '/api/v1/read-only', answers: '401 401 403 403 403 403 200 403 401 401' },
  {
    method: 'PUT',
    path: '/api/v1/read-only',
    body: '{"readOnly":false}',
    answers: '401 401 403 403 403 403 200 403 401 401',
  },
  { method: 'GET', path: '/token', answers: '200 401 200 200 200 200 200 200 401 401' },
  { method: 'GET', path: '/.well-known/jwks.json', answers: '200 200 200 200 200 200 200 200 200 200' },
  { method: 'GET', path: '/livez', answers: '200 200 200 200 200 200 200 200 200 200' },
  { method: 'GET', path: '/readyz', answers: '200 200 200 200 200 200 200 200 200 200' },
];

export const UPLOAD_TABLE: readonly { readonly method: string; readonly query?: string; readonly answers: string }[] = [
  { method: 'GET', answers: '401 401 403 204 204 403 204 204 401 401' },
  { method: 'PATCH', answers: '401 401 403 202 202 403 202 202 401 401' },
  { method: 'PUT', query: `digest=${digestOf('')}`, answers: '401 401 403 201 201 403 201 201 401 401' },
  { method: 'DELETE', answers: '401 401 403 204 204 403 204 204 401 401' },
];
