import { RegistryError } from '../../oci/errors.ts';
import type { TokenRequest } from '../auth/management.ts';

/** A JSON object that somebody sent. */
export type JsonBody = Readonly<Record<string, unknown>>;

/** `{"name", "password"}`. @throws RegistryError for anything else */
export function readUser(body: JsonBody): { readonly name: string; readonly password: string } {
  refuseOthers(body, ['name', 'password']);
  return { name: textIn(body, 'name'), password: textIn(body, 'password') };
}

/** What is to change about an account; what is absent stays. */
export interface UserChange {
  readonly password?: string;
  readonly isDisabled?: boolean;
}

/** `{"password"}`, `{"isDisabled"}` or both. @throws RegistryError for anything else */
export function readUserChange(body: JsonBody): UserChange {
  refuseOthers(body, ['password', 'isDisabled']);
  const { isDisabled } = body;
  if (isDisabled !== undefined && typeof isDisabled !== 'boolean') throw isWrong('isDisabled is true or false');
  if (body['password'] === undefined && isDisabled === undefined) throw isWrong('there is password or isDisabled');
  return {
    ...(body['password'] !== undefined && { password: textIn(body, 'password') }),
    ...(isDisabled !== undefined && { isDisabled }),
  };
}

/** `{"name"}`, and what `TokenRequest` has besides. @throws RegistryError for anything else */
export function readTokenRequest(body: JsonBody): TokenRequest {
  refuseOthers(body, ['name', 'user', 'robot', 'actions', 'repositories', 'tags', 'expires']);
  return {
    name: textIn(body, 'name'),
    user: optional(body, 'user', textIn),
    robot: optional(body, 'robot', textIn),
    expires: optional(body, 'expires', textIn),
    actions: optional(body, 'actions', textsIn),
    repositories: optional(body, 'repositories', textsIn),
    tags: optional(body, 'tags', textsIn),
  };
}

function optional<T>(body: JsonBody, name: string, read: (body: JsonBody, name: string) => T): T | undefined {
  return body[name] === undefined || body[name] === null ? undefined : read(body, name);
}

function textIn(body: JsonBody, name: string): string {
  const value = body[name];
  if (typeof value !== 'string') throw isWrong(`${name} is missing, or no text`);
  return value;
}

function textsIn(body: JsonBody, name: string): readonly string[] {
  const value = body[name];
  if (!Array.isArray(value) || !value.every((each) => typeof each === 'string'))
    throw isWrong(`${name} is a list of texts`);
  return value;
}

/** A misspelled limit must not be no limit. */
function refuseOthers(body: JsonBody, known: readonly string[]): void {
  const other = Object.keys(body).find((name) => !known.includes(name));
  if (other !== undefined) throw isWrong(`there is no "${other.slice(0, 50)}" here, but ${known.join(', ')}`);
}

function isWrong(reason: string): RegistryError {
  return new RegistryError('UNSUPPORTED', { status: 400, detail: { reason } });
}
