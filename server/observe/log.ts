import pino from 'pino';
import { accessLevel, accessLine, type AccessEntry } from './access-line.ts';
import { escapeUnsafe } from './json-text.ts';
import { createLogDestination, type LogDestination } from './log-destination.ts';
import { createPrettyForm } from './log-pretty.ts';
import { hideLineSecrets } from './secrets.ts';

export type { AccessEntry } from './access-line.ts';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** `auto` is `pretty` on a terminal and `json` everywhere else. */
  readonly format: 'auto' | 'json' | 'pretty';
  /** Whether answers below 500 get an access line; the others always do. */
  readonly access: boolean;
  /** The number of this worker, 0 for the primary. */
  readonly worker?: number;
  /** Standard output unless given. */
  readonly fd?: number;
}

/** More members of a line; an error goes under `err`, which prints its causes and its stack. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * The log of one process: lines of JSON with `level`, `time`, `worker`, the fields and `msg`.
 *
 * Whatever looks like a secret is hidden, a line never breaks whatever stands in it, and nothing that was logged is lost
 * when the process ends by returning, by `process.exit`, by an uncaught error, or by SIGTERM, SIGINT or SIGHUP.
 */
export interface Log {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** For what ends the process; is on its way when it returns. */
  fatal(message: string, fields?: LogFields): void;
  /** The one line about a request: `info`, for 503 `warn`, for any other 5xx `error`. Cheap, and never throws. */
  access(entry: AccessEntry): void;
  flush(): void;
  /** Flushes and takes the listeners off the process. Nothing may be logged afterwards. */
  close(): void;
}

export function createLog(options: LogOptions): Log {
  return new ProcessLog(options);
}

class ProcessLog implements Log {
  readonly #worker: number;
  readonly #logsAccess: boolean;
  readonly #destination: LogDestination;
  readonly #pino: pino.Logger;
  readonly #emit: (line: string) => void;
  readonly #release: () => void;
  readonly #clock = createClock();

  constructor(options: LogOptions) {
    const fd = options.fd ?? 1;
    this.#worker = options.worker ?? 0;
    this.#logsAccess = options.access;
    this.#destination = createLogDestination({
      fd,
      onDropped: (lines) => this.warn('log lines were dropped because nobody took them', { lines }),
    });
    this.#emit = emitter(options.format, fd, this.#destination);
    this.#pino = createPino(options.level, this.#worker, this.#clock, this.#emit);
    this.#release = flushAtExit(this, this.#destination);
  }

  trace(message: string, fields: LogFields = {}): void {
    this.#pino.trace(fields, message);
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#pino.debug(fields, message);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#pino.info(fields, message);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#pino.warn(fields, message);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#pino.error(fields, message);
  }

  fatal(message: string, fields: LogFields = {}): void {
    this.#pino.fatal(fields, message);
    this.flush();
  }

  access(entry: AccessEntry): void {
    const level = accessLevel(entry.status);
    if (level === 'info' && !this.#logsAccess) return;
    if (!this.#pino.isLevelEnabled(level)) return;
    this.#emit(accessLine(entry, level, this.#clock(), this.#worker));
  }

  flush(): void {
    this.#destination.flush();
  }

  close(): void {
    this.#release();
    this.#destination.close();
  }
}

function emitter(format: LogOptions['format'], fd: number, destination: LogDestination): (line: string) => void {
  const isTerminal = fd === 1 && process.stdout.isTTY;
  if (format === 'json' || (format === 'auto' && !isTerminal)) return (line) => destination.write(line);
  const pretty = createPrettyForm({ colorize: isTerminal });
  return (line) => {
    destination.write(pretty(line));
    // A person is looking: at once, not after a second.
    destination.flush();
  };
}

function createPino(level: LogLevel, worker: number, clock: () => string, emit: (line: string) => void): pino.Logger {
  return pino(
    {
      level,
      base: { worker },
      timestamp: () => `,"time":"${clock()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => emit(escapeUnsafe(hideLineSecrets(line))) },
  );
}

/** ISO 8601 in UTC, made once per millisecond. */
function createClock(): () => string {
  let millisecond = 0;
  let text = '';
  return () => {
    const now = Date.now();
    if (now !== millisecond) {
      millisecond = now;
      text = new Date(now).toISOString();
    }
    return text;
  };
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Listens for every orderly end of the process; returns what takes the listeners away. */
function flushAtExit(log: Log, destination: LogDestination): () => void {
  const flush = () => log.flush();
  const fatal = (error: Error, origin: string) => log.fatal('the process ends on an error', { err: error, origin });
  const signalled = (signal: NodeJS.Signals) => {
    log.flush();
    // Listening takes away what the signal does by itself. Nobody else wants it: give it back.
    if (process.listenerCount(signal) > 1) return;
    process.removeListener(signal, signalled);
    destination.whenWritten(() => process.kill(process.pid, signal));
  };
  process.on('exit', flush).on('uncaughtExceptionMonitor', fatal);
  for (const signal of SIGNALS) process.on(signal, signalled);
  return () => {
    process.removeListener('exit', flush).removeListener('uncaughtExceptionMonitor', fatal);
    for (const signal of SIGNALS) process.removeListener(signal, signalled);
  };
}
