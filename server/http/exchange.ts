import type { IncomingHttpHeaders } from 'node:http';
import type { BlobReader } from '../../storage/blobs/driver.ts';
import type { Rights } from '../../registry/rights.ts';
import type { RequestBody } from './request-body.ts';

/** A request as a handler sees it: parsed, matched, and without the means to write an answer. */
export interface Exchange<P> {
  readonly method: string;
  /** The placeholders of the endpoint's path, parsed. */
  readonly params: P;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: RequestBody;
  /** Who asks, as `client-address.ts` says. */
  readonly address: string;
  /** Of who sent it; that it may do what the request says was decided before. */
  readonly rights: Rights;
}

export type HeaderValue = string | number | readonly string[];

/** Bytes to send: in memory, or pieces that follow one another, open already or to be opened when it is their turn. */
export type ReplyBody = Uint8Array | string | { readonly pieces: readonly ReplyPiece[] };

export type ReplyPiece = Uint8Array | BlobReader | (() => Promise<BlobReader>);

/** An answer. With a HEAD request the body is not sent; its length is. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, HeaderValue>>;
  readonly body?: ReplyBody;
}

/** An answer in JSON, whose text is at hand. */
export interface JsonReply extends Reply {
  readonly headers: Readonly<Record<string, HeaderValue>>;
  readonly body: string;
}

/** @param value becomes the body, as JSON */
export function jsonReply(
  status: number,
  value: unknown,
  headers: Readonly<Record<string, HeaderValue>> = {},
): JsonReply {
  const body = JSON.stringify(value);
  return {
    status,
    headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body), ...headers },
    body,
  };
}
