import type { Client } from './client.ts';

/** The metrics of a service, by name with labels. */
export async function samplesOf(
  client: Client,
  headers: Readonly<Record<string, string>> = {},
): Promise<ReadonlyMap<string, number>> {
  const { text } = await client.get('/metrics', headers);
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map(sampleOf));
}

function sampleOf(line: string): [string, number] {
  const space = line.lastIndexOf(' ');
  return [line.slice(0, space), Number(line.slice(space))];
}

/** How many requests a limit has refused. */
export async function limitedRequests(
  client: Client,
  limit: 'address' | 'account' | 'uploads',
  headers: Readonly<Record<string, string>> = {},
): Promise<number> {
  const samples = await samplesOf(client, headers);
  return samples.get(`entrepot_http_requests_limited_total{limit="${limit}"}`) ?? 0;
}
