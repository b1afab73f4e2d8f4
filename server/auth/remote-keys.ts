import type { KeyObject } from 'node:crypto';
import type { KeySource } from './key-source.ts';
import { FetchError, fetchText, isSafe } from './fetch-text.ts';
import { findKey, parseJwks, type IssuerKey } from './jwks.ts';

export interface RemoteKeysOptions {
  /** Where the JWK Set is; asked for at each fetch, because issuers move theirs. */
  readonly url: () => Promise<string>;
  /** Told once for each reason why the keys could not be fetched. */
  readonly onFault: (error: unknown) => void;
  readonly now: () => number;
  readonly fetchText?: (url: string, signal?: AbortSignal) => Promise<string>;
}

// Issuers announce a new key days before they use it; one that leaked is taken out by hand, and is to be gone soon.
const FRESH_MS = 10 * 60_000;
const OLD_MS = 60 * 60_000;
// A key that cannot be confirmed for a day is none any more.
const USABLE_MS = 24 * 60 * 60_000;
// Whoever sends invented key ids must not make us ask the issuer each time.
const ASK_AGAIN_MS = 10_000;

/**
 * The keys that an issuer publishes: fetched with the first token, kept, and fetched again every ten minutes of use, or
 * when a token names a key that is not among them. An issuer that is away for a while takes nothing away.
 */
export class RemoteKeys implements KeySource {
  readonly #options: RemoteKeysOptions;
  readonly #closing = new AbortController();
  #keys: readonly IssuerKey[] = [];
  #fetchedAt = Number.NEGATIVE_INFINITY;
  #askedAt = Number.NEGATIVE_INFINITY;
  #running: Promise<void> | undefined;
  #fault: unknown;

  constructor(options: RemoteKeysOptions) {
    this.#options = options;
  }

  async find(id: string | undefined, algorithm: string): Promise<KeyObject | undefined> {
    const age = this.#options.now() - this.#fetchedAt;
    if (age > USABLE_MS) {
      this.#keys = [];
      await this.#fetch();
      if (this.#keys.length === 0) throw this.#fault;
    } else if (age > OLD_MS) {
      // Nobody has asked for long: one that was taken out meanwhile is not to be believed once more.
      await this.#fetch();
    } else if (age > FRESH_MS) {
      // Nobody waits for it.
      void this.#fetch();
    }
    const found = findKey(this.#keys, id, algorithm);
    if (found !== undefined) return found;
    await this.#fetch();
    return findKey(this.#keys, id, algorithm);
  }

  close(): void {
    this.#closing.abort();
  }

  async #fetch(): Promise<void> {
    const { now } = this.#options;
    // Those who come meanwhile wait for the same answer.
    // A clock that is set back is no reason to ask no more.
    const since = now() - this.#askedAt;
    if (this.#running === undefined && since >= 0 && since < ASK_AGAIN_MS) return;
    this.#running ??= this.#ask().finally(() => (this.#running = undefined));
    await this.#running;
  }

  async #ask(): Promise<void> {
    const { url, onFault, now, fetchText: get = fetchText } = this.#options;
    this.#askedAt = now();
    try {
      this.#keys = parseJwks(await get(await url(), this.#closing.signal));
      this.#fetchedAt = now();
      this.#fault = undefined;
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      if (String(error) !== String(this.#fault)) onFault(error);
      this.#fault = error;
    }
  }
}

/**
 * Where an issuer has its keys (OpenID Connect Discovery 1.0, section 4).
 *
 * @throws FetchError when the document is not to be had, or is another issuer's
 */
export async function discoverJwksUrl(issuer: string, get: typeof fetchText = fetchText): Promise<string> {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  const document = parseDocument(await get(url), url);
  // Section 4.3: exactly the same, or anybody's document would do.
  if (document['issuer'] !== issuer) throw new FetchError(`${url} is the document of another issuer`);
  const jwks = document['jwks_uri'];
  // What came over https does not send us to something on this machine.
  const isAsSafe = typeof jwks === 'string' && isSafe(jwks) && (!url.startsWith('https:') || jwks.startsWith('https:'));
  if (!isAsSafe) throw new FetchError(`${url} names no keys under https (jwks_uri)`);
  return jwks;
}

function parseDocument(text: string, url: string): Record<string, unknown> {
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null) return parsed as Record<string, unknown>;
  } catch {}
  throw new FetchError(`${url} is no JSON object`);
}
