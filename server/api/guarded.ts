import type { Request } from 'express';
import type { RepositoryName } from '../../oci/names.ts';
import type { Admission } from '../auth/admission.ts';
import type { AuditLog } from '../auth/audit-log.ts';
import { auditRequest, type Audited } from '../auth/audit-request.ts';
import type { CertificateUser } from '../auth/certificate-user.ts';
import { asRegistryError } from '../http/error-reply.ts';
import type { Reply } from '../http/exchange.ts';

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
      readonly subject?: string;
      /** Who may do it to what is their own; all else is for who has the right `admin`. */
      readonly isOwn?: (user: string) => boolean | Promise<boolean>;
    }
  | {
      readonly action: 'delete';
      readonly repository: RepositoryName;
      readonly subject?: never;
      readonly isOwn?: never;
    };

/** Does what the caller may do, and tells the audit what became of it. */
export async function guarded(
  parts: GuardedParts,
  request: Request,
  { action, repository, subject, isOwn }: About,
  work: (admission: Admission) => Promise<Reply>,
): Promise<Reply> {
  const scope = action === 'admin' ? 'registry:admin:*' : `repository:${repository}:delete`;
  const audited: Audited = {
    admission: undefined,
    action,
    touched: repository === undefined ? {} : { name: repository },
    showsCertificate: () => parts.certificateUser(request) !== undefined,
    ...(subject !== undefined && { subject }),
  };
  const tell = (status: number) => auditRequest(parts.audit, request, audited, { ...aboutOf(parts, request), status });
  try {
    const admission = await parts.admit(request, scope, (known) => (audited.admission = known));
    if (!(await mayAsOwner(admission, isOwn))) admission.require(action, repository);
    const reply = await work(admission);
    tell(reply.status);
    return reply;
  } catch (error) {
    tell(asRegistryError(error).status);
    throw error;
  }
}

/** Only with what the person knows: a secret that got into other hands must not make more of its kind. */
async function mayAsOwner({ user, credential }: Admission, isOwn: About['isOwn']): Promise<boolean> {
  return isOwn !== undefined && user !== undefined && credential === 'password' && isOwn(user);
}

function aboutOf({ clientAddress }: GuardedParts, request: Request) {
  return {
    requestId: String(request.res?.getHeader('X-Request-Id') ?? ''),
    remoteAddress: clientAddress(request),
  };
}
