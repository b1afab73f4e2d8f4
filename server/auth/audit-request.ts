import type { IncomingMessage } from 'node:http';
import type { Action } from '../http/endpoint.ts';
import type { Admission } from './admission.ts';
import type { Credential } from './audit-line.ts';
import type { AuditLog } from './audit-log.ts';
import { parseBasic } from './basic-credentials.ts';
import type { Touched } from './scope.ts';

/** What is known about a request to a repository when it is over. */
export interface Audited {
  /** Undefined when the credentials were refused. */
  admission: Admission | undefined;
  /** What was named in the path. */
  touched: Touched;
  action: Action | 'admin';
  /** Whether the connection shows a client certificate, believed or not. */
  readonly showsCertificate: () => boolean;
  /** What it was done to, where that is nothing of a repository. */
  subject?: string;
}

/** Tells what was done to a repository, or refused to somebody who showed who they are. */
export function auditRequest(
  audit: AuditLog,
  request: IncomingMessage,
  { admission, action, touched, subject, showsCertificate }: Audited,
  about: { readonly requestId: string; readonly remoteAddress: string; readonly status: number },
): void {
  const { authorization } = request.headers;
  if (action === 'none') return;
  const shown = shownBy(authorization, showsCertificate);
  // How every client learns that it has to log in.
  if (shown === 'none' && about.status === 401) return;
  const reference = touched['tag-or-digest'];
  audit.write({
    ...about,
    user: admission === undefined ? triedBy(authorization) : admission.user,
    credential: admission?.credential ?? shown,
    identity: admission?.identity,
    tokenId: admission?.tokenId,
    action,
    repository: touched.name,
    subject: subject ?? reference?.tag ?? reference?.digest ?? touched.digest,
    method: request.method ?? '',
  });
}

/** Whose password was tried, and refused. */
function triedBy(authorization: string | undefined): string | undefined {
  const credentials = authorization === undefined ? '' : parseBasic(authorization);
  return typeof credentials === 'string' ? undefined : credentials.user;
}

/** Of credentials that may have been refused. */
function shownBy(authorization: string | undefined, showsCertificate: () => boolean): Credential {
  if (authorization === undefined) return showsCertificate() ? 'certificate' : 'none';
  return /^bearer /i.test(authorization) ? 'token' : 'password';
}
