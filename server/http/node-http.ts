import type { RequestListener } from 'node:http';
import type { Server, ServerOptions } from 'node:https';

/**
 * Node's HTTP server, without what an import statement brings along: `import ... from 'node:http'` evaluates every export
 * of the module, the getters among them, and one of them loads the whole HTTP client (45 ms and 6 MiB in each process).
 */
export const { createServer } = process.getBuiltinModule('node:http');

/** The same over TLS, which is loaded with the first call. */
export function createSecureServer(options: ServerOptions, handle: RequestListener): Server {
  return process.getBuiltinModule('node:https').createServer(options, handle);
}
