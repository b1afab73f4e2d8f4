import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from '../http/node-http.ts';
import { METRICS_CONTENT_TYPE, type MetricsAggregator } from './metrics-cluster.ts';

export interface MetricsServerOptions {
  readonly metrics: Pick<MetricsAggregator, 'text'>;
  /** Told why the metrics could not be collected; the client is not. */
  readonly onFault: (error: unknown) => void;
}

/** The server of the metrics address: `GET /metrics` and nothing else. The caller listens and closes. */
export function createMetricsServer(options: MetricsServerOptions): Server {
  const server = createServer({ headersTimeout: 10_000, requestTimeout: 10_000 }, (request, response) => {
    void answer(request, response, options);
  });
  server.maxConnections = 64;
  return server;
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: MetricsServerOptions,
): Promise<void> {
  const [path] = (request.url ?? '').split('?', 1);
  if (path !== '/metrics') return send(response, 404, 'not here: the metrics are at /metrics\n');
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('Allow', 'GET, HEAD');
    return send(response, 405, 'the metrics can only be read\n');
  }
  try {
    send(response, 200, await options.metrics.text());
  } catch (error) {
    options.onFault(error);
    send(response, 500, 'the metrics could not be collected; the log says why\n');
  }
}

function send(response: ServerResponse, status: number, body: string): void {
  const type = status === 200 ? METRICS_CONTENT_TYPE : 'text/plain; charset=utf-8';
  response.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(body) }).end(body);
}
