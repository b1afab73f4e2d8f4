import type { IncomingHttpHeaders } from 'node:http';
import type { Digest } from '../../oci/digest.ts';
import { NO_PRECONDITION, type Precondition } from '../../registry/precondition.ts';
import type { HeaderValue, Reply } from './exchange.ts';

/** The entity tag of content: its digest in quotes (RFC 9110 section 8.8.3). */
export function etagOf(digest: Digest): string {
  return `"${digest}"`;
}

/** Whether `If-None-Match` says that the client has this content already (RFC 9110 section 13.1.2). */
export function isNotModified(headers: IncomingHttpHeaders, digest: Digest): boolean {
  const header = headers['if-none-match'];
  if (header === undefined) return false;
  const tags = parseEntityTags(header);
  return tags === '*' || tags.includes(digest);
}

const KEPT = ['ETag', 'Cache-Control', 'Docker-Content-Digest'];

/** The answer to a client that has it: of the headers of a 200 those that a cache takes over (RFC 9110 section 15.4.5). */
export function notModified(headers: Readonly<Record<string, HeaderValue>>): Reply {
  return { status: 304, headers: Object.fromEntries(Object.entries(headers).filter(([name]) => KEPT.includes(name))) };
}

/** Whether `If-Range` lets a range be answered with a part (RFC 9110 section 13.1.5). Dates never match: we send none. */
export function allowsRange(headers: IncomingHttpHeaders, digest: Digest): boolean {
  const header = headers['if-range'];
  return header === undefined || header === etagOf(digest);
}

/** The conditions of a change. */
export function preconditionOf(headers: IncomingHttpHeaders): Precondition {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers;
  if (match === undefined && noneMatch === undefined) return NO_PRECONDITION;
  return {
    ...(match === undefined ? {} : { match: parseEntityTags(match) }),
    ...(noneMatch === undefined ? {} : { noneMatch: parseEntityTags(noneMatch) }),
  };
}

/** Digests without quotes; a weak tag counts as its strong form. */
function parseEntityTags(header: string): readonly string[] | '*' {
  if (header.trim() === '*') return '*';
  return header.split(',').map((tag) =>
    tag
      .trim()
      .replace(/^W\//, '')
      .replace(/^"(.*)"$/, '$1'),
  );
}
