import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Stands between a registry and its S3 server, passes everything on as it is, and counts. */
export interface CountingProxy extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`, in place of the server's own. */
  readonly endpoint: string;
  /** Method and path with the names of the query, one an entry, in their order. */
  readonly requests: readonly string[];
  /** How many came while `work` ran. */
  during(work: () => Promise<unknown>): Promise<readonly string[]>;
}

interface ProxyOptions {
  /** Refuses a presigned URL that comes with an `Authorization` header, as AWS does and the servers at hand do not. */
  readonly isStrict?: boolean;
  /** Goes on in place of the name that the client knows. */
  readonly host?: string;
}

const TWO_AUTHENTICATIONS = `<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified</Message></Error>`;

/** @param server its URL */
export async function startCountingProxy(
  server: string,
  { isStrict = false, host }: ProxyOptions = {},
): Promise<CountingProxy> {
  const requests: string[] = [];
  const agent = new http.Agent({ keepAlive: true });
  const pass = (request: IncomingMessage, response: ServerResponse) => {
    const { pathname, searchParams } = new URL(request.url ?? '/', server);
    requests.push(`${request.method} ${pathname}${[...searchParams.keys()].map((name) => ` ${name}`).join('')}`);
    if (isStrict && searchParams.has('X-Amz-Algorithm') && request.headers.authorization !== undefined) {
      response.writeHead(400, { 'Content-Type': 'application/xml' });
      response.end(TWO_AUTHENTICATIONS);
      return;
    }
    // The signature covers the host that the client knows: the headers go on unchanged, unless told otherwise.
    const onward = http.request(new URL(request.url ?? '/', server), {
      agent,
      method: request.method,
      headers: host === undefined ? request.headers : { ...request.headers, host },
    });
    onward.on('response', (answered) => {
      response.writeHead(answered.statusCode ?? 502, answered.headers);
      answered.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  };
  const proxy = http.createServer(pass);
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    requests,
    during: async (work) => {
      const before = requests.length;
      await work();
      return requests.slice(before);
    },
    [Symbol.asyncDispose]: async () => {
      agent.destroy();
      proxy.closeAllConnections();
      proxy.close();
      await once(proxy, 'close');
    },
  };
}
