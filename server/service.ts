import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { isLoopback } from '../config/address.ts';
import type { Config } from '../config/config.ts';
import type { Admission } from './auth/admission.ts';
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
import { createHttpServer } from './http-server.ts';
import { Buffers } from './http/buffers.ts';
import { createClientAddress, type ClientAddress } from './http/client-address.ts';
import { createOrigin } from './http/origin.ts';
import { RequestBody } from './http/request-body.ts';
import { Router } from './http/router.ts';
import { lazySendfile } from './http/sendfile.ts';
import { TransferBudget } from './http/transfer-budget.ts';
import { Watchdog } from './http/watchdog.ts';
import { CannotListen } from './cannot-listen.ts';
import { Listener } from './listener.ts';
import { createHealth, type Health } from './observe/health.ts';
import type { Log } from './observe/log.ts';
import { createReadOnly, type ReadOnly } from './read-only.ts';
import { openRegistry, type Identity, type OpenParts, type OpenRegistry } from './open-registry.ts';

export interface ServiceParts extends OpenParts {
  /** The metrics of all processes of the server, as text. */
  readonly metricsText: () => Promise<string>;
  /** Of access, where a test is to see to it. */
  readonly access?: Partial<Pick<AccessParts, 'wait' | 'now' | 'compare'>>;
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

const HOUSEKEEPING_MS = 5_000;

/** Opens the store and prepares the HTTP server. */
export async function createService(config: Config, identity: Identity, parts: ServiceParts): Promise<Service> {
  const { log, metrics } = parts;
  const opened = await openRegistry(config, identity, parts);
  const budget = new TransferBudget(config.storage.transferMemoryBytes);
  metrics.measureTransferMemory(() => config.storage.transferMemoryBytes - budget.free);
  const buffers = new Buffers(budget);
  const watchdog = new Watchdog(config.http.minimumRate);
  let isDraining = false;
  const readOnly = createReadOnly(opened.metadata.state, config.readOnly);
  const health = createHealth({
    checks: { index: async () => void (await opened.metadata.state.get('epoch')) },
    isDraining: () => isDraining,
    onFailure: (check, reason) => log.warn('a readiness check failed', { check, err: reason }),
  });
  const opening = async () => ({
    ...parts.access,
    keys: openKeys(config, identity),
    records: await openRecords(config),
    generations: generationsOf(opened),
    log,
  });
  const { access, ...more } = await openAccess(config.access, opening);
  const clientAddress = createClientAddress(config.http.trustedProxies);
  const origin = createOrigin(config.http.host, config.http.trustedProxies);
  const certificates = await openCertificates(config, parts);
  const certificateUser = ({ socket }: IncomingMessage) => certificates?.userOf(socket);
  const listener = new Listener({
    router: new Router(
      endpoints({
        registry: opened.registry,
        maxManifestBytes: config.manifests.maxSizeBytes,
        location: (path) => `${config.http.host ?? ''}${path}`,
      }),
    ),
    others: lazyApp(config, opened, {
      ...parts,
      health,
      readOnly,
      budget,
      watchdog,
      admit: async (request, scope) =>
        access.admit({
          authorization: request.headers.authorization,
          certificateUser: () => certificateUser(request),
          address: clientAddress(request),
          origin: () => origin(request),
          scope: () => scope,
        }),
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
    listen: () => listen(server, config),
    drain: async (until) => {
      isDraining = true;
      clearInterval(housekeeping);
      await closeServer(server, connections, config.http.drainTimeoutMs, log);
      watchdog.close();
      await more.close();
      await until;
      await opened.registry.close();
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
  { registry }: OpenRegistry,
  parts: ServiceParts & {
    health: Health;
    readOnly: ReadOnly;
    budget: TransferBudget;
    watchdog: Watchdog;
    admit: (request: IncomingMessage, scope: string) => Promise<Admission>;
    clientAddress: ClientAddress;
    certificateUser: (request: IncomingMessage) => CertificateUser | undefined;
    audit: AuditLog;
    tokenEndpoint: TokenEndpoint | undefined;
    management: Management | undefined;
    keys: Keys | undefined;
  },
): (request: IncomingMessage, response: ServerResponse) => void {
  const load = async () => {
    const { createApp } = await import('./api/app.ts');
    return createApp({
      registry,
      health: parts.health,
      // An address of its own is the way to show metrics to other machines.
      metricsText:
        config.metrics.address === undefined && isLoopback(config.address.host) ? parts.metricsText : undefined,
      readOnly: parts.readOnly,
      readBody: (request, maxBytes, tooLarge) =>
        new RequestBody(request, parts.budget, parts.watchdog).whole(maxBytes, tooLarge),
      admit: parts.admit,
      clientAddress: parts.clientAddress,
      certificateUser: parts.certificateUser,
      audit: parts.audit,
      tokenEndpoint: parts.tokenEndpoint,
      management: parts.management,
      keys: parts.keys,
      onFault: (error, request) =>
        parts.log.error('a request failed', { path: request.path, err: error.cause ?? error }),
    });
  };
  let app: ReturnType<typeof load> | undefined;
  return (request, response) => {
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

/** What each process has to do for itself from time to time. */
function startHousekeeping({ registry }: OpenRegistry, buffers: Buffers, log: Log): NodeJS.Timeout {
  const keepHouse = async () => {
    buffers.trim();
    await registry.uploads.detachIdle();
    await registry.uploads.settle();
    await registry.maintenance.giveUpUnsettled();
  };
  return setInterval(() => {
    keepHouse().catch((error: unknown) => log.warn('housekeeping failed, it will be tried again', { err: error }));
  }, HOUSEKEEPING_MS).unref();
}

async function listen(server: Server, config: Config): Promise<number> {
  server.listen({ host: config.address.host, port: config.address.port, backlog: 1024 });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new CannotListen(config.address, error);
  }
  return (server.address() as AddressInfo).port;
}

/** The open connections, those that have not said anything yet among them: Node's server does not know them. */
function watchConnections(server: Server): ReadonlySet<Socket> {
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  return connections;
}

async function closeServer(
  server: Server,
  connections: ReadonlySet<Socket>,
  timeoutMs: number,
  log: Log,
): Promise<void> {
  if (!server.listening) return;
  const closed = once(server, 'close').then(() => true);
  // Every answer from now on tells its connection to end; idle ones end at once.
  server.prependListener(
    'request',
    (_request, response: ServerResponse) => void response.setHeader('Connection', 'close'),
  );
  server.close();
  server.closeIdleConnections();
  const sweep = setInterval(() => server.closeIdleConnections(), 100);
  const isDrained = await Promise.race([closed, delay(timeoutMs, false, { ref: false })]);
  clearInterval(sweep);
  if (isDrained) return;
  log.warn('requests were still running at the end of the drain timeout and are cut', { timeoutMs });
  for (const socket of connections) socket.destroy();
  await closed;
}
