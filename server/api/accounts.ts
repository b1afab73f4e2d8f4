import type { IRouter, Request } from 'express';
import { RegistryError } from '../../oci/errors.ts';
import { AccountFault, noToken, type Management, type TokenInfo } from '../auth/management.ts';
import { jsonReply, type Reply } from '../http/exchange.ts';
import { readUserChange, readTokenRequest, readUser, type JsonBody, type UserChange } from './account-bodies.ts';
import { guarded, type About, type GuardedParts } from './guarded.ts';
import { isMalformed, isTooLarge, jsonOf, replying, route, type ReadBody } from './routing.ts';

export interface AccountsParts extends GuardedParts {
  readonly readBody: ReadBody;
  /** Undefined where access is open. */
  readonly management: Management | undefined;
}

const BODY_MAX_BYTES = 64 * 1024;

/**
 * `/api/v1/users` and `/api/v1/tokens`: what `entrepot user` and `entrepot token` do. For who has the right `admin`; a
 * person who logs in with the password also manages access tokens of their own, and changes their password.
 */
export function routeAccounts(api: IRouter, parts: AccountsParts): void {
  const { management } = parts;
  if (management === undefined) return;
  const accounts = new Accounts(parts, management);
  route(api, '/users', {
    get: replying((request) => accounts.listUsers(request)),
    post: replying((request) => accounts.addUser(request)),
  });
  route(api, '/users/:name', { patch: replying((request) => accounts.changeUser(request)) });
  route(api, '/tokens', {
    get: replying((request) => accounts.listTokens(request)),
    post: replying((request) => accounts.makeToken(request)),
  });
  route(api, '/tokens/:id', { delete: replying((request) => accounts.revokeToken(request)) });
}

/** One method for each endpoint. */
class Accounts {
  readonly #parts: AccountsParts;
  readonly #management: Management;

  constructor(parts: AccountsParts, management: Management) {
    this.#parts = parts;
    this.#management = management;
  }

  async listUsers(request: Request): Promise<Reply> {
    return this.#guarded(request, { action: 'admin', subject: 'users' }, async () => {
      const users = await this.#management.users();
      return jsonReply(200, { users: users.map(shownUser) });
    });
  }

  async addUser(request: Request): Promise<Reply> {
    const about: About = { action: 'admin', subject: 'users', isAboutCredentials: true };
    return this.#guarded(request, about, async (_admission, isAbout) => {
      const { name, password } = readUser(await this.#bodyOf(request));
      isAbout(`user ${name}: added`);
      await this.#management.addUser(name, password);
      return jsonReply(201, { name, isDisabled: false });
    });
  }

  async changeUser(request: Request): Promise<Reply> {
    const name = String(request.params['name']);
    const changeOf = once(async () => readUserChange(await this.#bodyOf(request)));
    // Nobody locks himself out, or in again.
    const isOwn = async (user: string) => user === name && (await changeOf()).isDisabled === undefined;
    const about: About = { action: 'admin', subject: `user ${name}`, isOwn, isAboutCredentials: true };
    return this.#guarded(request, about, async (_admission, isAbout) => {
      const change = await changeOf();
      isAbout(`user ${name}: ${wordsOf(change).join(', ')}`);
      if (change.password !== undefined) await this.#management.setPassword(name, change.password);
      if (change.isDisabled !== undefined) await this.#management.setDisabled(name, change.isDisabled);
      return { status: 204 };
    });
  }

  async listTokens(request: Request): Promise<Reply> {
    const about: About = { action: 'admin', subject: 'tokens', isOwn: () => true };
    return this.#guarded(request, about, async ({ isAdmin, user }) => {
      const all = await this.#management.tokens();
      const tokens = isAdmin ? all : all.filter(({ owner }) => owner === `user:${user}`);
      return jsonReply(200, { tokens: tokens.map(shownToken) });
    });
  }

  async makeToken(request: Request): Promise<Reply> {
    const wantedOf = once(async () => readTokenRequest(await this.#bodyOf(request)));
    const isOwn = async (user: string) => {
      const { robot, user: owner = user } = await wantedOf();
      return robot === undefined && owner === user;
    };
    const about: About = { action: 'admin', subject: 'tokens', isOwn, isAboutCredentials: true };
    return this.#guarded(request, about, async ({ user }, isAbout) => {
      const wanted = await wantedOf();
      // Whoever names nobody means themselves.
      const owner = wanted.robot === undefined ? { user: wanted.user ?? user } : {};
      const { secret, info } = await this.#management.createToken({ ...wanted, ...owner }, user ?? 'anonymous');
      isAbout(`access-token:${info.id} of ${info.owner}: made`);
      return jsonReply(201, { token: secret, ...shownToken(info) }, { 'Cache-Control': 'no-store' });
    });
  }

  async revokeToken(request: Request): Promise<Reply> {
    const id = String(request.params['id']);
    const number = /^\d{1,15}$/.test(id) ? Number(id) : -1;
    const isOwn = async (user: string) => (await this.#management.token(number))?.owner === `user:${user}`;
    const subject = number < 0 ? 'access-token' : `access-token:${number}`;
    const about: About = { action: 'admin', subject, isOwn, isAboutCredentials: true };
    return this.#guarded(request, about, async (_admission, isAbout) => {
      isAbout(`${subject}: revoked`);
      if (number < 0) throw noToken(`"${id.slice(0, 20)}"`);
      await this.#management.revokeToken(number);
      return { status: 204 };
    });
  }

  #guarded(request: Request, about: About, work: Parameters<typeof guarded>[3]): Promise<Reply> {
    return guarded(this.#parts, request, about, (admission, isAbout) => work(admission, isAbout).catch(refused));
  }

  async #bodyOf(request: Request): Promise<JsonBody> {
    const body = jsonOf(await this.#parts.readBody(request, BODY_MAX_BYTES, () => isTooLarge(BODY_MAX_BYTES)));
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as JsonBody;
    throw isMalformed('the body is a JSON object');
  }
}

function wordsOf({ password, isDisabled }: UserChange): readonly string[] {
  const state = isDisabled === undefined ? [] : [isDisabled ? 'disabled' : 'enabled'];
  return [...(password === undefined ? [] : ['password']), ...state];
}

/** A body is read once, by whoever asks first: not before it is known who sent it. */
function once<T>(read: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () => (running ??= read());
}

type User = Awaited<ReturnType<Management['users']>>[number];

function shownUser({ createdAt, changedAt, ...user }: User): object {
  return { ...user, ...times({ createdAt, changedAt }) };
}

function shownToken({ createdAt, expiresAt, lastUsed, revokedAt, ...info }: TokenInfo): object {
  return { ...info, ...times({ createdAt, expiresAt, lastUsed, revokedAt }) };
}

/** RFC 3339; null for never. */
function times(all: Readonly<Record<string, number | undefined>>): object {
  const entries = Object.entries(all);
  return Object.fromEntries(
    entries.map(([name, time]) => [name, time === undefined ? null : new Date(time).toISOString()]),
  );
}

function refused(error: unknown): Reply {
  if (!(error instanceof AccountFault)) throw error;
  throw new RegistryError('UNSUPPORTED', { status: error.status, detail: { reason: error.message } });
}
