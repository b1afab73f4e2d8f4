import type { Request } from 'express';
import { RegistryError } from '../../oci/errors.ts';
import type { RepositoryName, Tag } from '../../oci/names.ts';
import type { Admission } from '../auth/admission.ts';
import type { AuditLog } from '../auth/audit-log.ts';
import { auditRequest, type Audited } from '../auth/audit-request.ts';
import type { CertificateUser } from '../auth/certificate-user.ts';
import { asRegistryError } from '../http/error-reply.ts';
import type { Reply } from '../http/exchange.ts';
import { ClientGone } from '../http/request-body.ts';

/**
 * Who sent a request, and what they may do.
 *
 * @param admitted told as soon as that is known, also of somebody who is then refused for sending too many requests
 */
export type Admit<R> = (request: R, scope: string, admitted?: (admission: Admission) => void) => Promise<Admission>;

export interface GuardedParts {
  readonly admit: Admit<Request>;
  readonly audit: AuditLog;
  readonly clientAddress: (request: Request) => string;
  readonly certificateUser: (request: Request) => CertificateUser | undefined;
}

/** What a request is about, and what the audit calls it. */
export type About =
  | {
      readonly action: 'admin';
      readonly repository?: never;
      readonly tag?: never;
      readonly subject?: string;
      /** Who may do it to what is their own; all else is for who has the right `admin`. */
      readonly isOwn?: (user: string) => boolean | Promise<boolean>;
      /** Makes or changes credentials, which no access token may: a secret that leaked must not make more of its kind. */
      readonly isAboutCredentials?: boolean;
    }
  | {
      readonly action: 'pull' | 'push' | 'delete';
      readonly repository: RepositoryName;
      /** Absent: about the repository as a whole. */
      readonly tag?: Tag;
      readonly subject?: never;
      readonly isOwn?: never;
      readonly isAboutCredentials?: never;
    };

/**
 * Does what the caller may do, and tells the audit what became of it.
 *
 * @param work is given a function that says to the audit what exactly it was about
 */
export async function guarded(
  parts: GuardedParts,
  request: Request,
  { action, repository, tag, subject, isOwn, isAboutCredentials = false }: About,
  work: (admission: Admission, isAbout: (subject: string) => void) => Promise<Reply>,
): Promise<Reply> {
  const scope = action === 'admin' ? 'registry:admin:*' : `repository:${repository}:${action}`;
  const audited: Audited = {
    admission: undefined,
    action,
    touched: repository === undefined ? {} : { name: repository },
    showsCertificate: () => parts.certificateUser(request) !== undefined,
    ...((subject ?? tag) !== undefined && { subject: subject ?? tag }),
  };
  const tell = (status: number) => auditRequest(parts.audit, request, audited, { ...aboutOf(parts, request), status });
  try {
    const admission = await parts.admit(request, scope, (known) => (audited.admission = known));
    if (!(await mayAsOwner(admission, isOwn))) admission.require(action, repository, tag);
    if (isAboutCredentials && admission.isLimited) throw isForPasswords();
    const reply = await work(admission, (known) => (audited.subject = known));
    tell(reply.status);
    return reply;
  } catch (error) {
    // 499 as nginx has it: the client went away.
    tell(error instanceof ClientGone ? 499 : asRegistryError(error).status);
    throw error;
  }
}

/** Only with what the person knows. */
async function mayAsOwner({ user, credential }: Admission, isOwn: About['isOwn']): Promise<boolean> {
  return isOwn !== undefined && user !== undefined && credential === 'password' && isOwn(user);
}

function aboutOf({ clientAddress }: GuardedParts, request: Request) {
  return {
    requestId: String(request.res?.getHeader('X-Request-Id') ?? ''),
    remoteAddress: clientAddress(request),
  };
}

function isForPasswords(): RegistryError {
  const reason = 'accounts and access tokens are changed by who logs in with a password, not by an access token';
  return new RegistryError('DENIED', { detail: { reason } });
}
