import type { IncomingMessage, ServerResponse } from 'node:http';
import { RegistryError } from '../oci/errors.ts';
import type { Access } from './auth/access.ts';
import type { Admission } from './auth/admission.ts';
import type { AuditLog } from './auth/audit-log.ts';
import { auditRequest, type Audited } from './auth/audit-request.ts';
import { authorize } from './auth/authorize.ts';
import type { CertificateUser } from './auth/certificate-user.ts';
import { scopeOf } from './auth/scope.ts';
import { ResponseClosed, type SendingParts } from './http/blob-sender.ts';
import type { ClientAddress } from './http/client-address.ts';
import { asRegistryError, errorReply } from './http/error-reply.ts';
import { refuseCrossSite } from './http/cross-site.ts';
import type { Endpoint } from './http/endpoint.ts';
import type { Reply } from './http/exchange.ts';
import { ClientGone, RequestBody } from './http/request-body.ts';
import type { Origin } from './http/origin.ts';
import type { Router } from './http/router.ts';
import { send } from './http/send.ts';
import { bytesSent } from './http/sendfile.ts';
import { parseTarget, type Target } from './http/target.ts';
import type { TransferBudget } from './http/transfer-budget.ts';
import type { Watchdog } from './http/watchdog.ts';
import { carriesUpload, type Limits } from './limits/limits.ts';
import type { Log } from './observe/log.ts';
import type { Metrics } from './observe/metrics.ts';

/** Told of a request that is answered elsewhere what its access line is to say. */
export interface RequestObserver {
  admitted(admission: Admission): void;
  refused(error: RegistryError): void;
}

export interface ListenerParts extends SendingParts {
  readonly router: Router;
  /** Everything that is not below `/v2/`. */
  readonly others: (request: IncomingMessage, response: ServerResponse, observer: RequestObserver) => void;
  readonly access: Access;
  readonly audit: AuditLog;
  readonly limits: Limits;
  readonly isReadOnly: () => Promise<boolean>;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly budget: TransferBudget;
  readonly watchdog: Watchdog;
  readonly clientAddress: ClientAddress;
  /** Whom the client certificate of the connection names. */
  readonly certificateUser: (request: IncomingMessage) => CertificateUser | undefined;
  readonly origin: Origin;
  readonly sendTimeoutMs: number;
  /** Whether connections end with the answer that they are at. */
  readonly isDraining: () => boolean;
  /** Distinguishes the request ids of this process. */
  readonly idPrefix: string;
}

/** What is known about a request when it is over. */
interface Observed extends Audited {
  endpoint: string;
  error: RegistryError | undefined;
  body: RequestBody | undefined;
}

/** What `http.Server` calls for each request: matches, handles, answers, and says what happened. */
export class Listener {
  readonly #parts: ListenerParts;
  #count = 0;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
  }

  readonly handle = (request: IncomingMessage, response: ServerResponse): void => {
    const observed: Observed = {
      endpoint: 'other',
      admission: undefined,
      touched: {},
      action: 'none',
      showsCertificate: () => this.#parts.certificateUser(request) !== undefined,
      error: undefined,
      body: undefined,
    };
    this.#observe(request, response, observed);
    void this.#serve(request, response, observed);
  };

  async #serve(request: IncomingMessage, response: ServerResponse, observed: Observed): Promise<void> {
    let reply: Reply;
    try {
      this.#parts.limits.address?.(request);
      checkHeaders(request);
      refuseCrossSite(request.method ?? '', request.headers);
      const target = parseTarget(request.url ?? '');
      if (target.path !== '/v2' && !target.path.startsWith('/v2/')) {
        this.#parts.others(request, response, {
          admitted: (admission) => (observed.admission = admission),
          refused: (error) => (observed.error = error),
        });
        return;
      }
      reply = await this.#reply(request, response, target, observed);
    } catch (error) {
      if (error instanceof ClientGone) return;
      observed.error = asRegistryError(error);
      this.#logFault(request, observed.error);
      reply = errorReply(observed.error);
    }
    try {
      await send(request, response, reply, this.#parts);
    } catch (error) {
      if (error instanceof ResponseClosed) return;
      observed.error = asRegistryError(error);
      this.#logFault(request, observed.error);
      // A header that cannot be written: something has to be said, or the client waits for ever.
      if (!response.headersSent) await send(request, response, errorReply(observed.error), this.#parts);
    }
  }

  async #reply(request: IncomingMessage, response: ServerResponse, target: Target, observed: Observed): Promise<Reply> {
    const { router, budget, watchdog } = this.#parts;
    const method = request.method ?? '';
    const { endpoint, params } = router.match(method, target);
    observed.endpoint = endpoint.id;
    observed.action = endpoint.action;
    observed.touched = params;
    const { access, certificateUser, clientAddress, origin, limits } = this.#parts;
    const address = clientAddress(request);
    const admission = await access.admit({
      authorization: request.headers.authorization,
      certificateUser: () => certificateUser(request),
      address,
      origin: () => origin(request),
      scope: () => scopeOf(endpoint, params, target.query),
    });
    observed.admission = admission;
    limits.account?.(admission.user);
    authorize(admission, endpoint, params, target.query);
    if (isChange(method, endpoint) && (await this.#parts.isReadOnly())) throw isReadOnly();
    const body = new RequestBody(request, budget, watchdog);
    observed.body = body;
    const { headers } = request;
    const { query } = target;
    const handle = () => endpoint.handle({ method, params, query, headers, body, address, rights: admission });
    const { upload } = limits;
    if (upload === undefined || !carriesUpload(method, endpoint, body)) return handle();
    return upload(request, response, admission.user, handle);
  }

  /** Faults of the server are told in full, here and nowhere else. */
  #logFault(request: IncomingMessage, error: RegistryError): void {
    if (error.status < 500) return;
    const { method, url } = request;
    this.#parts.log[error.code === 'UNKNOWN' ? 'error' : 'warn']('a request failed', {
      method,
      path: url?.split('?', 1)[0]?.slice(0, 300),
      err: error.cause ?? error,
    });
  }

  #observe(request: IncomingMessage, response: ServerResponse, observed: Observed): void {
    const { log, metrics, clientAddress, idPrefix } = this.#parts;
    const startedAt = performance.now();
    const requestId = idPrefix + (this.#count++).toString(36);
    const remoteAddress = clientAddress(request);
    // Express takes away what it has matched.
    const { socket, url: path = '' } = request;
    const alreadySent = bytesSent(socket);
    response.setHeader('X-Request-Id', requestId);
    metrics.requestStarted();
    response.once('close', () => {
      const durationMs = performance.now() - startedAt;
      const { error, endpoint } = observed;
      const user = observed.admission?.user;
      const method = request.method ?? '';
      const aborted = !response.writableFinished;
      // 499 as nginx has it: the client closed before there was an answer.
      const status = response.headersSent ? response.statusCode : 499;
      const bytesIn = observed.body?.received ?? 0;
      const bytesOut = aborted ? bytesSent(socket) - alreadySent : bodyBytes(method, response);
      metrics.request(endpoint, method, status, durationMs / 1000, bytesIn, bytesOut);
      log.access({
        requestId,
        remoteAddress,
        user,
        method,
        endpoint,
        path,
        status,
        bytesIn,
        bytesOut,
        durationMs,
        userAgent: request.headers['user-agent'],
        errorCode: error?.code,
        reason: reasonOf(error),
        aborted,
      });
      auditRequest(this.#parts.audit, request, observed, { requestId, remoteAddress, status });
    });
  }
}

function bodyBytes(method: string, response: ServerResponse): number {
  return method === 'HEAD' ? 0 : Number(response.getHeader('Content-Length') ?? 0);
}

function reasonOf(error: RegistryError | undefined): string | undefined {
  const detail = error?.detail;
  if (typeof detail === 'object' && detail !== null && 'reason' in detail) return String(detail.reason);
  return error?.message;
}

/** What Node lets pass, or refuses in a form that is not ours. */
function checkHeaders(request: IncomingMessage): void {
  const { 'transfer-encoding': encoding, expect } = request.headers;
  if (request.httpVersionMajor !== 1)
    throw isMalformed(400, 'the version of the request has to be HTTP/1.1 or HTTP/1.0');
  checkHost(request);
  if (encoding !== undefined && encoding.toLowerCase() !== 'chunked') {
    throw isMalformed(400, 'the only Transfer-Encoding is chunked: send the content as it is');
  }
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    throw isMalformed(417, 'the only Expect is 100-continue: leave the header out');
  }
}

/** RFC 9112 section 3.2: exactly one Host, except in HTTP/1.0. */
function checkHost({ rawHeaders, httpVersion }: IncomingMessage): void {
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  if (hosts > 1) throw isMalformed(400, 'a request has one Host header, not two');
  if (hosts === 0 && httpVersion !== '1.0')
    throw isMalformed(400, 'a request has a Host header (RFC 9112 section 3.2)');
}

function isMalformed(status: number, reason: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { status, detail: { reason } });
}

/** How far an upload got may be asked for by who may push, and changes nothing. */
function isChange(method: string, { action }: Endpoint): boolean {
  return (action === 'push' || action === 'delete') && method !== 'GET' && method !== 'HEAD';
}

function isReadOnly(): RegistryError {
  const reason = 'the registry is read-only for now: pulls work, pushes and deletions have to wait';
  return new RegistryError('UNSUPPORTED', {
    message: reason,
    detail: { reason },
    headers: { Allow: 'GET, HEAD', 'Retry-After': '60' },
  });
}
