import type { IncomingMessage, ServerResponse } from 'node:http';
import type { LimitsConfig } from '../../config/config.ts';
import type { Rate } from '../../config/quantity.ts';
import type { ClientAddress } from '../http/client-address.ts';
import type { Endpoint } from '../http/endpoint.ts';
import type { RequestBody } from '../http/request-body.ts';
import type { Metrics } from '../observe/metrics.ts';
import { addressKey } from './address-key.ts';
import { RequestLimit } from './request-limit.ts';
import { isCounting, SharedCounts, type SharedLimit, type WorkerChannel } from './shared-counts.ts';
import { UploadPlaces } from './upload-places.ts';

export interface LimitsParts {
  readonly metrics: Metrics;
  readonly clientAddress: ClientAddress;
  /** To the other workers; left out where there are none. */
  readonly channel?: WorkerChannel | undefined;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: (() => number) | undefined;
  /** How long an upload may wait for its turn, in milliseconds. */
  readonly uploadWaitMs?: number | undefined;
}

/** What is limited; anything else is undefined, so that it costs nothing. */
export interface Limits {
  /**
   * Counts a request for the address of its client. To be called before anything is done for it.
   *
   * @throws RegistryError `TOOMANYREQUESTS`
   */
  readonly address: ((request: IncomingMessage) => void) | undefined;
  /**
   * Counts a request for who sent it, when that is known; nobody in particular has no account.
   *
   * @throws RegistryError `TOOMANYREQUESTS`
   */
  readonly account: ((user: string | undefined) => void) | undefined;
  /** Does the work of a request when those with upload data of the same account are few enough. */
  readonly upload: UploadLimit | undefined;
}

/** @throws RegistryError `TOOMANYREQUESTS`, ClientGone when that happened while it was waiting */
export type UploadLimit = <T>(
  request: IncomingMessage,
  response: ServerResponse,
  user: string | undefined,
  work: () => T | Promise<T>,
) => Promise<T>;

export function createLimits(config: LimitsConfig, parts: LimitsParts): Limits {
  const { perAddress, perAccount, uploadsPerAccount } = config;
  const { clientAddress } = parts;
  const limits: Partial<Record<SharedLimit, RequestLimit>> = {};
  const { channel } = parts;
  const shared =
    channel !== undefined && isCounting(config)
      ? new SharedCounts(channel, (limit, key, count) => limits[limit]?.spend(key, count))
      : undefined;
  const limitOf = (limit: SharedLimit, setting: string, rate: Rate) =>
    (limits[limit] = new RequestLimit({
      rate,
      setting,
      now: parts.now ?? (() => performance.now()),
      onPassed: (key) => shared?.count(limit, key),
      onRefused: () => parts.metrics.requestLimited(limit),
    }));
  return {
    address: perAddress && ofAddress(limitOf('address', 'limits.perAddress', perAddress), clientAddress),
    account: perAccount && ofAccount(limitOf('account', 'limits.perAccount', perAccount)),
    upload: uploadsPerAccount === 0 ? undefined : uploadLimit(uploadsPerAccount, parts),
  };
}

function ofAddress(limit: RequestLimit, clientAddress: ClientAddress): (request: IncomingMessage) => void {
  return (request) => {
    if (!isProbe(request)) limit.count(addressKey(clientAddress(request)));
  };
}

function ofAccount(limit: RequestLimit): (user: string | undefined) => void {
  return (user) => {
    if (user !== undefined) limit.count(user);
  };
}

/** Whoever restarts and balances asks, at a rate of his own, and from an address that others may share. */
function isProbe({ url = '' }: IncomingMessage): boolean {
  return /^\/(?:livez|readyz)(?:\?|$)/.test(url);
}

function uploadLimit(most: number, { metrics, clientAddress, uploadWaitMs }: LimitsParts): UploadLimit {
  const places = new UploadPlaces({ most, waitMs: uploadWaitMs, onRefused: () => metrics.requestLimited('uploads') });
  return (request, response, user, work) => {
    // An account may be called like an address.
    const key = user === undefined ? `address ${addressKey(clientAddress(request))}` : `account ${user}`;
    return places.run(key, response, work);
  };
}

/** Whether the request brings data of a blob. */
export function carriesUpload(method: string, { path, action }: Endpoint, body: RequestBody): boolean {
  if (method === 'GET' || method === 'HEAD' || method === 'DELETE') return false;
  return action === 'push' && path.startsWith(UPLOADS) && body.length !== 0;
}

const UPLOADS = '/v2/<name>/blobs/uploads/';
