/**
 * A program of its own, as a client is: pushes one blob of many equal mebibytes and 16 bytes at its end, and prints how long
 * that took, in milliseconds. `node bench/s3/pusher.ts URL REPOSITORY DIGEST MEBIBYTES TAIL [docker]`
 */
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { blockOf, MIB } from './content.ts';

const [url = '', repository = '', digest = '', mebibytes = '', tail = '', way = ''] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const block = blockOf();
const size = Number(mebibytes) * MIB + 16;

async function send(method: string, to: string, hasBody: boolean): Promise<IncomingMessage> {
  const headers = { 'Content-Length': hasBody ? size : 0, 'Content-Type': 'application/octet-stream' };
  const request = http.request(new URL(to, url), { agent, method, headers });
  const answered = once(request, 'response') as Promise<[IncomingMessage]>;
  if (hasBody) {
    for (let i = 0; i < Number(mebibytes); i += 1) if (!request.write(block)) await once(request, 'drain');
    request.write(Buffer.from(tail));
  }
  request.end();
  const [response] = await answered;
  response.resume();
  await once(response, 'end');
  if (response.statusCode === undefined || response.statusCode >= 300)
    throw new Error(`${method}: ${response.statusCode}`);
  return response;
}

function withDigest(location: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${digest}`;
}

const start = performance.now();
const begun = await send('POST', `/v2/${repository}/blobs/uploads/`, false);
const session = begun.headers.location ?? '';
if (way === 'docker') {
  const taken = await send('PATCH', session, true);
  await send('PUT', withDigest(taken.headers.location ?? ''), false);
} else await send('PUT', withDigest(session), true);
console.log(performance.now() - start);
agent.destroy();
