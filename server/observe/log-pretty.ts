import { createRequire } from 'node:module';
import type * as PinoPretty from 'pino-pretty';
import { escapeControls } from './json-text.ts';

/**
 * A function that turns one JSON line of the log into lines for a person.
 *
 * Loads pino-pretty, which takes 20 to 40 ms: call it only when the pretty form was chosen.
 */
export function createPrettyForm(options: { colorize: boolean }): (line: string) => string {
  const pinoPretty: typeof PinoPretty = createRequire(import.meta.url)('pino-pretty');
  const pretty = pinoPretty.prettyFactory({
    colorize: options.colorize,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'worker',
    singleLine: true,
  });
  return (line) => pretty(forPeople(JSON.parse(line, printable))) ?? '';
}

/** An access line says in its message what a person looks for; the rest stays behind it. */
function forPeople(line: Record<string, string | number>): Record<string, string | number> {
  const { method, path, status, durationMs, msg: _msg, ...rest } = line;
  if (path === undefined || status === undefined) return line;
  return { ...rest, msg: `${method} ${path} ${status} in ${durationMs} ms` };
}

// pino-pretty prints strings as they are: an escape sequence in a path would reach the terminal.
function printable(key: string, value: unknown): unknown {
  if (typeof value !== 'string') return value;
  return key === 'stack' ? value.split('\n').map(escapeControls).join('\n') : escapeControls(value);
}
