import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

/*
 * Ends with 0 if the server of this container is alive, with 1 if not. Stands alone: the image has no more sources.
 *
 * Variables win over the file, and the image sets this one; so it says where the server listens.
 */
const [, host = '', port = '5000'] = /^\[?(.*?)\]?:(\d+)$/.exec(process.env['ENTREPOT_ADDRESS'] ?? '') ?? [];
const target = { host: reachable(host), port: Number(port), path: '/livez', timeout: 4000, agent: false };

// Whether the configuration turned TLS on is not known here. The certificate is for another name than this one's.
const isAlive = (await answers('http')) || (await answers('https'));
process.exitCode = isAlive ? 0 : 1;

/** An address to connect to, for one that stands for all interfaces. */
function reachable(listening: string): string {
  if (listening === '' || listening === '0.0.0.0') return '127.0.0.1';
  return listening === '::' ? '::1' : listening;
}

function answers(scheme: 'http' | 'https'): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const request = scheme === 'http' ? requestHttp(target) : requestHttps({ ...target, rejectUnauthorized: false });
  request
    .on('response', (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    })
    .on('timeout', () => request.destroy())
    .on('error', () => resolve(false))
    .on('close', () => resolve(false))
    .end();
  return promise;
}
