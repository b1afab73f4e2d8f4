import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import { S3Client } from '@aws-sdk/client-s3';
import type { CurrentFence } from '../fence.ts';
import { Fencing } from './fencing.ts';
import type { S3Options } from './options.ts';

// A registry sends many small requests at once, and few servers like thousands of connections from one client.
const MAX_SOCKETS = 128;
const CONNECT_TIMEOUT_MS = 5_000;
// No byte in either direction for so long. A copy within the server may take minutes, and AWS sends white space meanwhile.
const SILENCE_TIMEOUT_MS = 120_000;
const ATTEMPTS = 4;

/** An S3 client that every S3-compatible server understands. */
export function createClient(options: S3Options, fence?: CurrentFence): S3Client {
  const fencing = fence && new Fencing(fence);
  const { endpoint, region, credentials, authorities } = options;
  const agent = { keepAlive: true, maxSockets: MAX_SOCKETS };
  const ca = authorities === undefined ? {} : { ca: [...rootCertificates, authorities] };
  const client = new S3Client({
    region,
    forcePathStyle: options.isPathStyle,
    ...(endpoint === undefined ? {} : { endpoint }),
    // A copy: the SDK writes to it.
    ...(credentials === undefined ? {} : { credentials: { ...credentials } }),
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
      httpsAgent: new HttpsAgent({ ...agent, ...ca }),
    },
  });
  fencing?.attach(client, options.bucket);
  return client;
}
