import { readFile } from 'node:fs/promises';
import { Agent, type AgentOptions } from 'node:https';
import path from 'node:path';
import { AUTHORITY, certify, pairOf, type Certified, type CertifiedOptions } from '../harness/certificates.ts';
import { temporaryDirectory } from '../harness/process.ts';
import { startService, type TestService, type TestServiceOptions } from '../harness/service.ts';
import { Client } from './client.ts';

/** Everyone whose certificates a suite needs, and how to make more. */
export interface Certificates extends AsyncDisposable {
  readonly directory: string;
  /** Believed. */
  readonly authority: Certified;
  /** Of the same name as `authority`, and not believed. */
  readonly impostor: Certified;
  readonly env: Readonly<Record<string, string>>;
  /** By `authority` unless told otherwise. */
  make(name: string, options?: CertifiedOptions): Promise<Certified>;
  /** A client with a certificate, or without one. */
  client(service: TestService, certified?: Certified, options?: AgentOptions): Promise<Client>;
}

export async function makeCertificates(): Promise<Certificates> {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory()).path;
  const options = { subject: '/CN=Test authority', extensions: AUTHORITY };
  const authority = await certify(directory, 'authority', options);
  const impostor = await certify(directory, 'impostor', options);
  const server = await certify(directory, 'server', { names: ['IP.1 = 127.0.0.1'] });
  const ca = await readFile(server.certificate);
  return {
    directory,
    authority,
    impostor,
    env: {
      ENTREPOT_HTTP_TLS_CERTIFICATE: server.certificate,
      ENTREPOT_HTTP_TLS_KEY: server.key,
      ENTREPOT_HTTP_TLS_CLIENT_AUTHORITIES: authority.certificate,
    },
    make: (name, more) => certify(directory, name, { issuer: authority, ...more }),
    client: async ({ port }, certified, more) => {
      const pair = certified === undefined ? {} : await pairOf(certified);
      const agent = new Agent({ keepAlive: true, ca, ...pair, ...more });
      stack.defer(() => agent.destroy());
      return new Client(`https://127.0.0.1:${port}`, agent);
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A service that believes the authority, and writes an audit. */
export function startWithCertificates(
  { directory, env }: Certificates,
  { env: more, ...options }: TestServiceOptions = {},
): Promise<TestService> {
  return startService({
    ...options,
    env: { ...env, ENTREPOT_ACCESS_AUDIT: path.join(directory, 'audit.log'), ...more },
  });
}
