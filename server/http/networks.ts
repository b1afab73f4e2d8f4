import { BlockList, isIP } from 'node:net';

/** Whether an address lies in any of the networks (`10.0.0.0/8`, `192.0.2.7`). What is no IP address lies in none. */
export function createNetworks(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const network of networks) addTo(list, network);
  return (address) => isIP(address) !== 0 && list.check(address, familyOf(address));
}

function addTo(list: BlockList, network: string): void {
  const [address = '', prefix] = network.split('/');
  if (prefix === undefined) list.addAddress(address, familyOf(address));
  else list.addSubnet(address, Number(prefix), familyOf(address));
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
