import type { ErrorCode } from '../../oci/errors.ts';
import { jsonText } from './json-text.ts';
import { hideTargetSecrets, hideTokens, hideUserinfo } from './secrets.ts';

/** What the log says about one request once it is over. No header but the user agent is ever part of it. */
export interface AccessEntry {
  readonly requestId: string;
  readonly remoteAddress: string;
  /** Who it was, as their credentials showed. */
  readonly user?: string | undefined;
  readonly method: string;
  /** The spec's id, `end-3`, or `other`. */
  readonly endpoint: string;
  /** The raw target, query included; secrets in it are hidden and it is cut here. */
  readonly path: string;
  readonly status: number;
  /** Body bytes taken from the client. */
  readonly bytesIn: number;
  /** Body bytes given to the client. */
  readonly bytesOut: number;
  readonly durationMs: number;
  readonly userAgent?: string | undefined;
  /** For an answer of 400 and above. */
  readonly errorCode?: ErrorCode | undefined;
  /** For an answer of 400 and above: what went wrong, in the server's words. */
  readonly reason?: string | undefined;
  /** The client went away before the answer was complete. */
  readonly aborted?: boolean | undefined;
}

export type AccessLevel = 'info' | 'warn' | 'error';

/** 503 is trouble that passes and that the client may retry; every other 5xx is a fault of ours. */
export function accessLevel(status: number): AccessLevel {
  if (status < 500) return 'info';
  return status === 503 ? 'warn' : 'error';
}

// Together with the rest they keep a line below 4,096 bytes, the most that a pipe takes in one piece: several workers
// write to the same one.
const PATH_BYTES = 1024;
const USER_AGENT_BYTES = 256;
const REASON_BYTES = 512;
const WORD_BYTES = 128;
// Of a text that may be as long as a request, before it is cut.
const LOOKED_AT = 4096;

/**
 * One line of JSON in the form that pino gives the other lines, newline included.
 *
 * Written by hand because it is on every request's way: 2 us, where pino's own path takes three times as long.
 *
 * @param time an ISO 8601 timestamp
 */
export function accessLine(entry: AccessEntry, level: AccessLevel, time: string, worker: number): string {
  return (
    `{"level":"${level}","time":"${time}","worker":${worker},"requestId":${jsonText(entry.requestId, WORD_BYTES)}` +
    `,"remoteAddress":${jsonText(entry.remoteAddress, WORD_BYTES)},"method":${jsonText(entry.method, WORD_BYTES)}` +
    `,"endpoint":${jsonText(entry.endpoint, WORD_BYTES)},"path":${pathText(entry.path)}` +
    `,"status":${entry.status},"bytesIn":${entry.bytesIn},"bytesOut":${entry.bytesOut}` +
    `,"durationMs":${Math.round(entry.durationMs * 1000) / 1000}${optionalMembers(entry)},"msg":"request"}\n`
  );
}

function pathText(target: string): string {
  const cut = target.length > PATH_BYTES ? target.slice(0, PATH_BYTES) : target;
  return jsonText(hideTargetSecrets(cut), PATH_BYTES);
}

function optionalMembers(entry: AccessEntry): string {
  let members = entry.user === undefined ? '' : `,"user":${jsonText(entry.user, WORD_BYTES)}`;
  if (entry.userAgent !== undefined) {
    members += `,"userAgent":${jsonText(hideTokens(hideUserinfo(entry.userAgent.slice(0, LOOKED_AT))), USER_AGENT_BYTES)}`;
  }
  if (entry.errorCode !== undefined) members += `,"errorCode":"${entry.errorCode}"`;
  if (entry.reason !== undefined)
    members += `,"reason":${jsonText(hideTokens(hideUserinfo(entry.reason.slice(0, LOOKED_AT))), REASON_BYTES)}`;
  if (entry.aborted === true) members += ',"aborted":true';
  return members;
}
