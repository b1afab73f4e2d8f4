import type { IncomingHttpHeaders } from 'node:http';
import { RegistryError } from '../../oci/errors.ts';

/**
 * Refuses what a page of another site makes a browser send. A registry that is open on loopback would take pushes and
 * deletions from every page that its user opens; clients of registries are no browsers, and send no `Origin`.
 *
 * @throws RegistryError `DENIED`
 */
export function refuseCrossSite(method: string, { origin, host }: IncomingHttpHeaders): void {
  if (origin === undefined || method === 'GET' || method === 'HEAD') return;
  if (URL.parse(origin)?.host === host) return;
  const reason = 'a page of another site sent this: registries take changes from their own pages and from clients only';
  throw new RegistryError('DENIED', { detail: { origin: origin.slice(0, 200), reason } });
}
