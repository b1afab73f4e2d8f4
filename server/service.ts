import type { IncomingMessage } from 'node:http';
import { isLoopback } from '../config/address.ts';
import type { Config } from '../config/config.ts';
import type { Admit } from './api/guarded.ts';
import type { AuditLog } from './auth/audit-log.ts';
import type { CertificateUser } from './auth/certificate-user.ts';
import type { Management } from './auth/management.ts';
import { openKeys } from './auth/open-keys.ts';
import { openRecords } from './auth/open-records.ts';
import { openAccess, type AccessParts } from './auth/open-access.ts';
import type { Keys } from './auth/signing-keys.ts';
import type { TokenEndpoint } from './auth/token-endpoint.ts';
import type { Generations } from './auth/token-reader.ts';
import { endpoints } from './endpoints.ts';
import { closeServer, listen, watchConnections } from './connections.ts';
import { createHttpServer } from './http-server.ts';
import { Buffers } from './http/buffers.ts';
import { createClientAddress, type ClientAddress } from './http/client-address.ts';
import { createOrigin } from './http/origin.ts';
import { RequestBody } from './http/request-body.ts';
import { Router } from './http/router.ts';
import { lazySendfile } from './http/sendfile.ts';
import { TransferBudget } from './http/transfer-budget.ts';
import { Watchdog } from './http/watchdog.ts';
import { createLimits, type LimitsParts } from './limits/limits.ts';
import { shareWithReplicas } from './limits/replica-channel.ts';
import { startHousekeeping } from './housekeeping.ts';
import { Listener, type ListenerParts, type RequestObserver } from './listener.ts';
import { createHealth, type Health } from './observe/health.ts';
import { createReadOnly, type ReadOnly } from './read-only.ts';
import { createRedirects } from './redirects.ts';
import { openRegistry, type Identity, type OpenParts, type OpenRegistry } from './open-registry.ts';

export interface ServiceParts extends OpenParts {
  /** The metrics of all processes of the server, as text. */
  readonly metricsText: () => Promise<string>;
  /** Of access, where a test is to see to it. */
  readonly access?: Partial<Pick<AccessParts, 'wait' | 'now' | 'compare'>>;
  /** Of limits: the channel to other workers, and what a test is to see to. */
  readonly limits?: Pick<LimitsParts, 'channel' | 'now' | 'uploadWaitMs'>;
}

/** One process that serves requests: the registry, and the HTTP server in front of it. */
export interface Service extends OpenRegistry {
  /** @returns the port, also when 0 was configured */
  listen(): Promise<number>;
  /**
   * Takes no new connections, lets running requests finish for as long as the configuration says, then closes
   * everything.
   *
   * @param until what else needs the store: it is closed after that
   */
  drain(until?: Promise<void>): Promise<void>;
}

/** Opens the store and prepares the HTTP server. */
export async function createService(config: Config, identity: Identity, parts: ServiceParts): Promise<Service> {
  const { log, metrics } = parts;
  const opened = await openRegistry(config, identity, parts);
  const budget = new TransferBudget(config.storage.transferMemoryBytes);
  metrics.measureTransferMemory(() => config.storage.transferMemoryBytes - budget.free);
  if (opened.driver.deferred !== undefined) metrics.measureDeferredCopies(() => opened.registry.deferredCopies.count);
  const buffers = new Buffers(budget);
  const watchdog = new Watchdog(config.http.minimumRate);
  let isDraining = false;
  const readOnly = createReadOnly(opened.metadata.state, config.readOnly);
  const health = createHealth({
    checks: {
      index: async () => void (await opened.metadata.state.get('epoch')),
      lease: async () => opened.replica?.expectLease(),
    },
    // Who has no lease still reads.
    canServeWithout: { index: () => !opened.registry.lastKnown.isEmpty, lease: () => true },
    isDraining: () => isDraining,
    onFailure: (check, reason) => log.warn('a readiness check failed', { check, err: reason }),
  });
  const opening = async () => {
    const records = await openRecords(config);
    return {
      ...parts.access,
      records,
      keys: await openKeys(config, identity, records),
      generations: generationsOf(opened),
      log,
    };
  };
  const { access, ...more } = await openAccess(config.access, opening);
  const clientAddress = createClientAddress(config.http.trustedProxies);
  const origin = createOrigin(config.http.host, config.http.trustedProxies);
  const certificates = await openCertificates(config, parts);
  const certificateUser = ({ socket }: IncomingMessage) => certificates?.userOf(socket);
  // Of workers the primary tells.
  const sharing = identity.worker === 0 ? shareWithReplicas(config, opened.metadata.counts, log) : undefined;
  const limits = createLimits(config.limits, { channel: sharing, ...parts.limits, metrics, clientAddress });
  const redirect = config.storage.s3?.redirect;
  const listener = new Listener({
    router: new Router(
      endpoints({
        registry: opened.registry,
        maxManifestBytes: config.manifests.maxSizeBytes,
        location: (path) => `${config.http.host ?? ''}${path}`,
        redirects: redirect && createRedirects(redirect),
      }),
    ),
    others: lazyApp(config, opened, {
      ...parts,
      health,
      readOnly,
      budget,
      watchdog,
      admit: async (request, scope, admitted) => {
        const admission = await access.admit({
          authorization: request.headers.authorization,
          certificateUser: () => certificateUser(request),
          address: clientAddress(request),
          origin: () => origin(request),
          scope: () => scope,
        });
        // Before the limit, so that a log says whose it was.
        admitted?.(admission);
        limits.account?.(admission.user);
        return admission;
      },
      clientAddress,
      certificateUser,
      audit: more.audit,
      tokenEndpoint: more.tokenEndpoint,
      management: more.management,
      keys: more.keys,
    }),
    isReadOnly: () => readOnly.get(),
    log,
    metrics,
    budget,
    buffers,
    sendfile: config.http.sendfile ? lazySendfile() : () => undefined,
    watchdog,
    access,
    limits,
    audit: more.audit,
    clientAddress,
    certificateUser,
    origin,
    sendTimeoutMs: config.http.sendTimeoutMs,
    isDraining: () => isDraining,
    idPrefix: `${identity.run.slice(0, 6)}${identity.worker}-`,
  });
  const server = await createHttpServer(config, log, listener.handle, certificates);
  const connections = watchConnections(server);
  const housekeeping = startHousekeeping(opened, buffers, log);
  return {
    ...opened,
    listen: () => listen(server, config.address),
    drain: async (until) => {
      isDraining = true;
      clearInterval(housekeeping);
      await closeServer(server, connections, config.http.drainTimeoutMs, log);
      watchdog.close();
      await more.close();
      await until;
      await sharing?.close();
      await opened.close();
    },
  };
}

/** Undefined where clients are asked for none. */
async function openCertificates({ access: { certificateUser } }: Config, { access }: ServiceParts) {
  if (certificateUser === undefined) return undefined;
  const { ClientCertificates } = await import('./http/client-certificates.ts');
  return new ClientCertificates(certificateUser, access?.now);
}

function generationsOf({ registry: { repositories } }: OpenRegistry): Generations {
  return {
    peek: (name) => repositories.peekGeneration(name),
    read: (name) => repositories.readGeneration(name),
  };
}

/** Express and what hangs on it are loaded with the first request that needs them: a start stays light. */
function lazyApp(
  config: Config,
  { registry, metadata }: OpenRegistry,
  parts: ServiceParts & {
    health: Health;
    readOnly: ReadOnly;
    budget: TransferBudget;
    watchdog: Watchdog;
    admit: Admit<IncomingMessage>;
    clientAddress: ClientAddress;
    certificateUser: (request: IncomingMessage) => CertificateUser | undefined;
    audit: AuditLog;
    tokenEndpoint: TokenEndpoint | undefined;
    management: Management | undefined;
    keys: Keys | undefined;
  },
): ListenerParts['others'] {
  const observers = new WeakMap<IncomingMessage, RequestObserver>();
  const load = async () => {
    const { createApp } = await import('./api/app.ts');
    return createApp({
      registry,
      tasks: metadata.tasks,
      collectionSettings: config.collection,
      health: parts.health,
      // An address of its own is the way to show metrics to other machines.
      metricsText:
        config.metrics.address === undefined && isLoopback(config.address.host) ? parts.metricsText : undefined,
      readOnly: parts.readOnly,
      readBody: (request, maxBytes, tooLarge) =>
        new RequestBody(request, parts.budget, parts.watchdog).whole(maxBytes, tooLarge),
      admit: (request, scope, admitted) =>
        parts.admit(request, scope, (admission) => {
          observers.get(request)?.admitted(admission);
          admitted?.(admission);
        }),
      clientAddress: parts.clientAddress,
      certificateUser: parts.certificateUser,
      audit: parts.audit,
      tokenEndpoint: parts.tokenEndpoint,
      management: parts.management,
      keys: parts.keys,
      onRefusal: (error, request) => observers.get(request)?.refused(error),
      onFault: (error, request) =>
        parts.log.error('a request failed', { path: request.path, err: error.cause ?? error }),
    });
  };
  let app: ReturnType<typeof load> | undefined;
  return (request, response, observer) => {
    observers.set(request, observer);
    app ??= load();
    app.then(
      (handle) => handle(request, response),
      (error: unknown) => {
        parts.log.error('the application could not be loaded', { err: error });
        response.destroy();
      },
    );
  };
}
