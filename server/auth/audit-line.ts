import { jsonText } from '../observe/json-text.ts';
import { hideTokens } from '../observe/secrets.ts';

/** What somebody did, or tried to do. */
export type AuditEntry = Deed & (InRequest | ByCommand);

interface Deed {
  /** Undefined for somebody who showed nothing. */
  readonly user: string | undefined;
  /** Whom a token of another issuer is about. */
  readonly identity?: string | undefined;
  readonly credential: Credential;
  /** Of the token that was shown or given out. */
  readonly tokenId?: string | undefined;
  /** `pull`, `push`, `delete`, `catalog`, `admin` or `login`. */
  readonly action: string;
  readonly repository?: string | undefined;
  /** A tag, a digest, what a login was granted, or what was done to the server. */
  readonly subject?: string | undefined;
}

interface InRequest {
  readonly requestId: string;
  readonly remoteAddress: string;
  readonly method: string;
  readonly status: number;
  readonly outcome?: never;
}

/** By `entrepot` at a terminal: whoever may do that needs no credentials. */
interface ByCommand {
  readonly requestId?: never;
  readonly remoteAddress?: never;
  readonly method?: never;
  readonly status?: never;
  readonly outcome: 'done' | 'failed';
}

/** What somebody showed. */
export type Credential =
  | 'none'
  | 'password'
  | 'certificate'
  | 'token'
  | 'refresh-token'
  | 'access-token'
  | 'identity-token'
  | 'command-line';

const WORD_BYTES = 300;
const SUBJECT_BYTES = 1500;
// Of a text that may be as long as a request, before it is cut.
const LOOKED_AT = 8192;

/** One line of JSON, newline included, below the 4,096 bytes that are appended in one piece. */
export function auditLine(entry: AuditEntry, time: string): string {
  const members: [string, string | number | undefined][] = [
    ['time', time],
    ['requestId', entry.requestId],
    ['remoteAddress', entry.remoteAddress],
    ['user', entry.user],
    ['identity', entry.identity],
    ['credential', entry.credential],
    ['tokenId', entry.tokenId],
    ['action', entry.action],
    ['repository', entry.repository],
    ['subject', entry.subject],
    ['method', entry.method],
    ['status', entry.status],
    ['outcome', entry.outcome ?? outcomeOf(entry.status)],
  ];
  const texts = members.flatMap(([name, value]) => (value === undefined ? [] : [`"${name}":${textOf(name, value)}`]));
  return `{${texts.join(',')}}\n`;
}

function textOf(name: string, value: string | number): string {
  if (typeof value === 'number') return String(value);
  // People type a token where the user belongs.
  return jsonText(hideTokens(value.slice(0, LOOKED_AT)), name === 'subject' ? SUBJECT_BYTES : WORD_BYTES);
}

/** A request that was allowed may still fail: there may be nothing to pull. */
function outcomeOf(status: number): 'done' | 'refused' | 'failed' {
  if (status < 400) return 'done';
  return status === 401 || status === 403 ? 'refused' : 'failed';
}
