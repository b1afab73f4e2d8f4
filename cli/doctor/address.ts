import { once } from 'node:events';
import { createServer } from 'node:net';
import { formatAddress } from '../../config/address.ts';
import type { ListenAddress } from '../../config/config.ts';
import { about, type Check, type Finding } from './finding.ts';
import { codeOf } from './nearest.ts';
import { portHolder } from './process-table.ts';

/** Whether the server could listen where it is told to, metrics included. */
export const checkAddress: Check = async ({ config, isServing }) => {
  const registry = await checkOne(config.address, 'address', isServing);
  const { address } = config.metrics;
  return address === undefined ? [registry] : [registry, await checkOne(address, 'metrics.address', isServing)];
};

async function checkOne(address: ListenAddress, key: string, isServing: boolean): Promise<Finding> {
  const code = await bindingError(address);
  const { ok, problem } = about(key);
  const text = formatAddress(address);
  if (code === undefined) return ok(`${text} is free`);
  if (code === 'EADDRINUSE') {
    const holder = (await portHolder(address.port)) ?? 'another process';
    if (isServing) return ok(`${text} is taken by ${holder}, as it should be while the server runs`);
    return problem(`${text} is taken by ${holder}`, `Stop that, or set ${key} to another port.`);
  }
  return problem(`${text} cannot be listened on (${code})`, adviceFor(code, key));
}

function adviceFor(code: string, key: string): string {
  switch (code) {
    case 'EACCES':
      return `Set ${key} to a port from 1024 up; or give the server the capability CAP_NET_BIND_SERVICE.`;
    case 'EADDRNOTAVAIL':
      return `Set ${key} to an address of this machine ("ip address" lists them), or to 0.0.0.0 for all of them.`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `No address belongs to that name here; set ${key} to an IP address.`;
    default:
      return `Set ${key} to another address.`;
  }
}

async function bindingError({ host, port }: ListenAddress): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen({ host, port, exclusive: true });
    await once(server, 'listening');
    return undefined;
  } catch (error) {
    return codeOf(error);
  } finally {
    if (server.listening) {
      server.close();
      await once(server, 'close');
    }
  }
}
