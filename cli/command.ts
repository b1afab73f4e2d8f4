import { parseArgs } from 'node:util';
import {
  checkConfigFile,
  configJsonSchema,
  ConfigError,
  describeConfig,
  readConfig,
  type ConfigInput,
} from '../config/load.ts';
import { closest } from '../config/suggestion.ts';
import { forkEarly } from '../server/fork.ts';
import { helpOn } from './help.ts';
import {
  OPTIONS,
  print,
  refuseMore,
  SEE_HELP,
  UsageError,
  type Command,
  type OptionName,
  type Values,
} from './usage.ts';

// Every command takes these.
const COMMON = ['config', 'address', 'root', 'workers', 'help', 'version'] as const;

// And these only the one.
const OPTIONS_OF: Readonly<Record<string, readonly OptionName[]>> = {
  token: ['user', 'robot', 'actions', 'repositories', 'tags', 'expires'],
  du: ['json'],
  quota: ['json'],
  gc: ['json'],
  index: ['json', 'from', 'to'],
  retention: ['json'],
  backup: ['keep', 'snapshot', 'json'],
  restore: ['snapshot', 'json'],
  tag: ['json', 'all'],
  fsck: ['json', 'repair', 'quick'],
};

const COMMANDS: Readonly<Record<string, Command>> = {
  serve,
  config: configCommand,
  doctor,
  'read-only': readOnly,
  access,
  keys,
  user,
  token,
  retention: async (...all) => (await import('./retention.ts')).retentionCommand(...all),
  du: async (...all) => (await import('./du.ts')).duCommand(...all),
  quota: async (...all) => (await import('./quota.ts')).quotaCommand(...all),
  gc: async (...all) => (await import('./gc.ts')).gcCommand(...all),
  index: async (...all) => (await import('./index-command.ts')).indexCommand(...all),
  backup: async (...all) => (await import('./backup.ts')).backupCommand(...all),
  restore: async (...all) => (await import('./restore.ts')).restoreCommand(...all),
  fsck: async (...all) => (await import('./fsck.ts')).fsckCommand(...all),
  tag: async (...all) => (await import('./tag.ts')).tagCommand(...all),
};

/**
 * Runs `entrepot` with these arguments.
 *
 * @returns the exit code; 2 for a mistake on the command line
 */
export async function runCommand(args: readonly string[]): Promise<number> {
  try {
    const { values, positionals } = parse(args);
    if (values.version === true) return print(await version());
    const [name, ...rest] = positionals;
    if (name === undefined || name === 'help') return print(helpOn(rest[0]));
    if (values.help === true) return print(helpOn(name));
    const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
    if (command === undefined) throw new UsageError(unknown(`there is no command "${name}"`, name, COMMANDS));
    const { config, address, root, workers } = values;
    const known: readonly string[] = [...COMMON, ...(OPTIONS_OF[name] ?? [])];
    const stray = Object.keys(values).find((option) => !known.includes(option));
    if (stray !== undefined) throw new UsageError(`${name} takes no --${stray}. ${SEE_HELP}`);
    const input = { flags: { config, address, root, workers }, env: process.env, cwd: process.cwd() };
    return await command(input, rest, values);
  } catch (error) {
    if (!isForPerson(error)) throw error;
    console.error(`entrepot: ${error.message}${adviceOn(error)}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(badOption((error as Error).message), { cause: error });
  }
}

/** One sentence of Node's several, and what to do. */
function badOption(message: string): string {
  const [, option] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
  if (option !== undefined) return unknown(`there is no option --${option}`, option, OPTIONS, '--');
  const [sentence = ''] = message.split(/\n|(?<=\.) /);
  // Node takes what stands there for the next option.
  if (sentence.endsWith('is ambiguous.')) return `${sentence.replace(' is ambiguous', ' is missing')} ${SEE_HELP}`;
  return `${sentence.replace(/\.?$/, '.')} ${SEE_HELP}`;
}

function unknown(wrong: string, name: string, known: Readonly<Record<string, unknown>>, prefix = ''): string {
  const meant = closest(name, Object.keys(known));
  return `${wrong}. ${meant === undefined ? '' : `Did you mean ${prefix}${meant}? `}${SEE_HELP}`;
}

const EXPECTED = new Set([
  'UsageError',
  'CommandFault',
  'TaskFailed',
  'BucketUnfit',
  'RootIsTaken',
  'RootUnusable',
  'RootIsUnfit',
  'BackupFault',
  'RootIsWithinStore',
  'WorkerFailed',
  'CannotListen',
  'StorageError',
  'TlsError',
  'CannotSwitch',
  'HtpasswdError',
  'KeysUnusable',
  'AuditUnusable',
  'CannotExplain',
  'AccountFault',
  'IssuerKeysError',
]);

/** Errors whose message says what to do; anything else is a fault of the program and shows its stack. */
function isForPerson(error: unknown): error is Error {
  if (error instanceof ConfigError) return true;
  if (!(error instanceof Error)) return false;
  return EXPECTED.has(error.name) || ('syscall' in error && 'code' in error);
}

/** The index is asked by nearly every command, and writes for each question. */
function adviceOn(error: Error): string {
  const isFull = error.name === 'StorageError' && 'failure' in error && error.failure === 'full';
  return isFull ? ': make room first, "The disk is full" in docs/operations.md says how' : '';
}

async function version(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const file = await readFile(new URL('../package.json', import.meta.url), 'utf8').catch(() =>
    readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return `entrepot ${(JSON.parse(file) as { version: string }).version}`;
}

// The last comes from a terminal that is closed.
const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

async function serve(input: ConfigInput, rest: readonly string[]): Promise<number> {
  if (rest.length > 0) throw new UsageError(`serve takes options only, not "${rest.join(' ')}".`);
  const config = await readConfig(input);
  // Before the start, because the workers answer before it is over.
  const told = signalled();
  const early = forkEarly(config);
  const { startServer } = await import('../server/main.ts');
  const server = await startServer(config, early);
  await told;
  await server.stop();
  // A listener somewhere must not keep an ended server alive.
  process.exit(0);
}

// A terminal sends Ctrl-C to every process, and npm passes it on as well: what comes this soon is the same one.
const SAME_SIGNAL_MS = 500;

/**
 * Resolves at the first of these signals; the second does what it does by itself. Not `once`: the log's listener ends
 * the process when it finds that nobody else listens any more.
 */
async function signalled(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of STOP_SIGNALS) process.on(signal, resolve);
  await promise;
  const letGo = () => {
    for (const signal of STOP_SIGNALS) process.removeListener(signal, resolve);
  };
  setTimeout(letGo, SAME_SIGNAL_MS).unref();
}

async function access(input: ConfigInput, [verb, ...rest]: readonly string[]): Promise<number> {
  if (verb !== 'explain') throw new UsageError('access has one verb: explain USER ACTION REPOSITORY[:TAG] [ADDRESS].');
  const { explainAccess } = await import('./access.ts');
  return print(explainAccess(await readConfig(input, { allowExposed: true }), rest));
}

async function keys(input: ConfigInput, [verb, ...rest]: readonly string[]): Promise<number> {
  if (verb !== 'rotate') throw new UsageError('keys has one verb: rotate.');
  refuseMore('keys rotate', rest);
  const [{ rotateKeys }, { audited }] = await Promise.all([import('./keys.ts'), import('./audited.ts')]);
  const config = await readConfig(input, { allowExposed: true });
  return print(await audited(config, { subject: 'keys rotate' }, () => rotateKeys(config)));
}

async function user(input: ConfigInput, [verb, name, ...rest]: readonly string[]): Promise<number> {
  const { manageUsers, USER_VERBS } = await import('./user.ts');
  const known = USER_VERBS.find((each) => each === verb);
  if (known === undefined) throw new UsageError(`user has these verbs: ${USER_VERBS.join(', ')}.`);
  if (known !== 'list' && name === undefined) throw new UsageError(`user ${known} needs a name.`);
  refuseMore(`user ${known}`, known === 'list' && name !== undefined ? [name, ...rest] : rest);
  return print(await manageUsers(await readConfig(input, { allowExposed: true }), known, name ?? ''));
}

async function token(input: ConfigInput, [verb, ...rest]: readonly string[], values: Values): Promise<number> {
  const { createToken, listTokens, revokeTokens } = await import('./token.ts');
  const stray = OPTIONS_OF['token']?.find((option) => values[option] !== undefined);
  if (verb !== 'create' && stray !== undefined) throw new UsageError(`--${stray} is for token create. ${SEE_HELP}`);
  const config = await readConfig(input, { allowExposed: true });
  if (verb === 'list') {
    refuseMore('token list', rest);
    return print(await listTokens(config));
  }
  if (verb === 'revoke') return print(await revokeTokens(config, rest));
  if (verb !== 'create') throw new UsageError('token has these verbs: create NAME, list, revoke ID.');
  const [name, ...more] = rest;
  if (name === undefined)
    throw new UsageError('token create needs a name for the token, such as the pipeline it is for.');
  refuseMore('token create NAME', more);
  const { secret, note } = await createToken(config, name, values);
  process.stderr.write(`${note}\n`);
  return print(secret);
}

async function configCommand(input: ConfigInput, [verb, ...rest]: readonly string[]): Promise<number> {
  if (verb === 'check') return checkConfig(input, rest);
  if (verb !== 'show' && verb !== 'schema') throw new UsageError('config has these verbs: check FILE, show, schema.');
  refuseMore(`config ${verb}`, rest);
  return print(verb === 'show' ? await describeConfig(input) : JSON.stringify(configJsonSchema(), null, 2));
}

async function checkConfig(input: ConfigInput, [file, ...rest]: readonly string[]): Promise<number> {
  refuseMore('config check FILE', rest);
  const path = file ?? input.flags?.config ?? input.env?.['ENTREPOT_CONFIG'];
  if (path === undefined) throw new UsageError('config check needs a file: entrepot config check FILE.');
  await checkConfigFile(path);
  return print(`${path}: no faults`);
}

async function doctor(input: ConfigInput, rest: readonly string[]): Promise<number> {
  refuseMore('doctor', rest);
  const config = await readConfig(input, { allowExposed: true });
  const { runDoctor } = await import('./doctor.ts');
  return runDoctor(config, { write: (text) => void process.stdout.write(text) });
}

async function readOnly(input: ConfigInput, [verb, ...rest]: readonly string[]): Promise<number> {
  refuseMore('read-only', rest);
  if (verb !== 'on' && verb !== 'off' && verb !== undefined)
    throw new UsageError('read-only takes on, off or nothing.');
  const config = await readConfig(input, { allowExposed: true });
  const [{ switchReadOnly }, { audited }] = await Promise.all([import('./read-only.ts'), import('./audited.ts')]);
  const work = () => switchReadOnly(config, verb);
  return print(await (verb === undefined ? work() : audited(config, { subject: `read-only ${verb}` }, work)));
}
