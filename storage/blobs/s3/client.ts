import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import type { CurrentFence } from '../fence.ts';
import { isMomentary } from './failure.ts';
import { Fencing } from './fencing.ts';
import type { S3Options } from './options.ts';

// A registry sends many small requests at once, and few servers like thousands of connections from one client.
const MAX_SOCKETS = 128;
const CONNECT_TIMEOUT_MS = 5_000;
// No byte in either direction for so long. A copy within the server may take minutes, and AWS sends white space meanwhile.
const SILENCE_TIMEOUT_MS = 120_000;
const ATTEMPTS = 4;

type Credentials = S3ClientConfig['credentials'];

/**
 * An S3 client that every S3-compatible server understands.
 *
 * @param fence where it gives one, changes run out with it
 * @param found credentials of another client; otherwise those of the options
 */
export function createClient(options: S3Options, fence?: CurrentFence, found?: Credentials): S3Client {
  const fencing = fence && new Fencing(fence);
  const { endpoint, region, authorities } = options;
  // A copy: the SDK writes to it.
  const credentials = found ?? (options.credentials && { ...options.credentials });
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS };
  const client = new S3Client({
    region,
    forcePathStyle: options.isPathStyle,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    // Servers that are not AWS know the new checksums badly or not at all.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    maxAttempts: ATTEMPTS,
    ...(fencing && { signerConstructor: fencing.signerConstructor }),
    followRegionRedirects: endpoint === undefined,
    requestHandler: {
      connectionTimeout: CONNECT_TIMEOUT_MS,
      socketTimeout: SILENCE_TIMEOUT_MS,
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent({ ...agent, ...trustedBeside(authorities) }),
    },
  });
  retryMomentary(client);
  fencing?.attach(client, options.bucket);
  return client;
}

/** Has the SDK ask again, as often as for other errors that pass. */
function retryMomentary(client: S3Client): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      try {
        return await next(args);
      } catch (error) {
        if (isMomentary(error)) Object.assign(error as object, { $retryable: {} });
        throw error;
      }
    },
    // Around what makes an error of an answer.
    { step: 'deserialize', priority: 'high', name: 'retryMomentary' },
  );
}

/** For TLS: these authorities beside those that Node trusts. */
export function trustedBeside(authorities: string | undefined): { readonly ca?: string[] } {
  return authorities === undefined ? {} : { ca: [...rootCertificates, authorities] };
}
