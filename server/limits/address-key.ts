/**
 * What a client address is counted as: itself, or for IPv6 its network of 64 bits. One machine has all the addresses of
 * such a network, and could take another one for each request.
 */
export function addressKey(address: string): string {
  if (!address.includes(':')) return address;
  const [, ipv4] = /^::ffff:([\d.]+)$/i.exec(address) ?? [];
  if (ipv4 !== undefined) return ipv4;
  const [front = '', back] = (address.split('%', 1)[0] ?? '').split('::');
  const groups = groupsOf(front);
  if (back !== undefined) {
    const zeros = GROUPS - groups.length - groupsOf(back).length - (back.includes('.') ? 1 : 0);
    groups.push(...Array.from({ length: zeros }, () => '0'), ...groupsOf(back));
  }
  return `${groups.slice(0, GROUPS_OF_NETWORK).map(withoutZeros).join(':')}::/64`;
}

const GROUPS = 8;
const GROUPS_OF_NETWORK = 4;

function groupsOf(part: string): string[] {
  return part === '' ? [] : part.split(':');
}

function withoutZeros(group: string): string {
  return Number.parseInt(group, 16).toString(16);
}
