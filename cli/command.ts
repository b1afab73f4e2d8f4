import { flushCompileCache } from 'node:module';
import { parseArgs } from 'node:util';
import {
  checkConfigFile,
  configJsonSchema,
  ConfigError,
  describeConfig,
  readConfig,
  type ConfigInput,
} from '../config/load.ts';
import { HELP } from './help.ts';

// Written at the end of a process otherwise, and not at all when it is killed.
const COMPILE_CACHE_AFTER_MS = 2_000;

/** A mistake on the command line: the message is all that the person needs. */
class UsageError extends Error {
  override readonly name = 'UsageError';
}

const OPTIONS = {
  config: { type: 'string' },
  address: { type: 'string' },
  root: { type: 'string' },
  workers: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

type Command = (input: ConfigInput, rest: readonly string[]) => Promise<number>;

const COMMANDS: Readonly<Record<string, Command>> = {
  serve,
  config: configCommand,
  doctor,
  'read-only': readOnly,
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
    if (values.help === true || name === undefined || name === 'help') return print(HELP);
    const command = COMMANDS[name];
    if (command === undefined) throw new UsageError(`there is no command "${name}". "entrepot help" lists them.`);
    const { config, address, root, workers } = values;
    return await command({ flags: { config, address, root, workers }, env: process.env, cwd: process.cwd() }, rest);
  } catch (error) {
    if (!isForPerson(error)) throw error;
    console.error(`entrepot: ${error.message}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    const [sentence = ''] = (error as Error).message.split(/(?<=\.) /);
    throw new UsageError(`${sentence.replace(/\.?$/, '.')} "entrepot help" lists the options.`, { cause: error });
  }
}

const EXPECTED = new Set(['UsageError', 'RootIsTaken', 'WorkerFailed', 'CannotListen', 'StorageError', 'TlsError']);

/** Errors whose message says what to do; anything else is a fault of the program and shows its stack. */
function isForPerson(error: unknown): error is Error {
  if (error instanceof ConfigError) return true;
  if (!(error instanceof Error)) return false;
  return EXPECTED.has(error.name) || ('syscall' in error && 'code' in error);
}

function print(text: string): number {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`);
  return 0;
}

async function version(): Promise<string> {
  const { readFile } = await import('node:fs/promises');
  const file = await readFile(new URL('../package.json', import.meta.url), 'utf8').catch(() =>
    readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return `entrepot ${(JSON.parse(file) as { version: string }).version}`;
}

const STOP_SIGNALS = ['SIGTERM', 'SIGINT'] as const;

async function serve(input: ConfigInput, rest: readonly string[]): Promise<number> {
  if (rest.length > 0) throw new UsageError(`serve takes options only, not "${rest.join(' ')}".`);
  const config = await readConfig(input);
  // Before the start, because the workers answer before it is over.
  const told = signalled();
  const { startServer } = await import('../server/main.ts');
  const server = await startServer(config);
  setTimeout(() => flushCompileCache(), COMPILE_CACHE_AFTER_MS).unref();
  await told;
  await server.stop();
  // A listener somewhere must not keep an ended server alive.
  process.exit(0);
}

/**
 * Resolves at the first SIGTERM or SIGINT; the second does what it does by itself. Not `once`: the log's listener ends
 * the process when it finds that nobody else listens any more.
 */
async function signalled(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of STOP_SIGNALS) process.on(signal, resolve);
  await promise;
  for (const signal of STOP_SIGNALS) process.removeListener(signal, resolve);
}

async function configCommand(input: ConfigInput, [verb, file]: readonly string[]): Promise<number> {
  if (verb === 'show') return print(await describeConfig(input));
  if (verb === 'schema') return print(JSON.stringify(configJsonSchema(), null, 2));
  if (verb !== 'check') throw new UsageError('config has these verbs: check FILE, show, schema.');
  const path = file ?? input.flags?.config;
  if (path === undefined) throw new UsageError('config check needs a file: entrepot config check FILE.');
  await checkConfigFile(path);
  return print(`${path}: no faults`);
}

async function doctor(input: ConfigInput): Promise<number> {
  const config = await readConfig(input, { allowExposed: true });
  const { runDoctor } = await import('./doctor.ts');
  return runDoctor(config, { write: (text) => void process.stdout.write(text) });
}

async function readOnly(input: ConfigInput, [verb]: readonly string[]): Promise<number> {
  if (verb !== 'on' && verb !== 'off' && verb !== undefined)
    throw new UsageError('read-only takes on, off or nothing.');
  const config = await readConfig(input, { allowExposed: true });
  const { switchReadOnly } = await import('./read-only.ts');
  return print(await switchReadOnly(config, verb));
}
