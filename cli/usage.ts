import type { ConfigInput } from '../config/load.ts';

/** A mistake on the command line: the message is all that the person needs. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** A command could not do what it was asked for; the message says why, and what to do. */
export class CommandFault extends Error {
  override readonly name = 'CommandFault';
}

export const OPTIONS = {
  config: { type: 'string' },
  address: { type: 'string' },
  root: { type: 'string' },
  workers: { type: 'string' },
  user: { type: 'string' },
  robot: { type: 'string' },
  actions: { type: 'string' },
  repositories: { type: 'string' },
  tags: { type: 'string' },
  expires: { type: 'string' },
  json: { type: 'boolean' },
  all: { type: 'boolean' },
  repair: { type: 'boolean' },
  quick: { type: 'boolean' },
  keep: { type: 'string' },
  snapshot: { type: 'string' },
  from: { type: 'string' },
  to: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

export type OptionName = keyof typeof OPTIONS;

/** What stood on the command line, by the names of `OPTIONS`. */
export type Values = {
  readonly [Name in OptionName]?: (typeof OPTIONS)[Name]['type'] extends 'boolean' ? boolean : string;
};

/**
 * Runs a command.
 *
 * @param rest what stands behind its name, options left out
 * @returns the exit code
 */
export type Command = (input: ConfigInput, rest: readonly string[], values: Values) => Promise<number>;

export const SEE_HELP = '"entrepot help" lists what there is.';

export function refuseMore(command: string, rest: readonly string[]): void {
  if (rest.length > 0) throw new UsageError(`${command} takes no "${rest.join(' ')}". ${SEE_HELP}`);
}

export function print(text: string): number {
  if (text === '') return 0;
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  return 0;
}

/** What is wrong, a line each, beside the result: who throws the result away, as cron jobs do, is still told. */
export function complain(lines: readonly string[]): void {
  if (lines.length > 0) process.stderr.write(`${lines.join('\n')}\n`);
}
