/** One thing that is wrong with a configuration, in words for the person who wrote it. */
export interface ConfigFault {
  /** The key (`http.drainTimeout`), the variable or the flag. */
  readonly path: string;
  /** Where it was set: `FILE:LINE`, a variable or a flag. */
  readonly origin?: string | undefined;
  /** What is wrong, a sentence without the full stop. */
  readonly wrong: string;
  /** What to write instead, one or more whole sentences. */
  readonly instead: string;
}

/** A configuration that the server will not start with. Its message is the whole report, all faults in it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly faults: readonly ConfigFault[];

  constructor(faults: readonly ConfigFault[]) {
    super(report(faults));
    this.faults = faults;
  }
}

function report(faults: readonly ConfigFault[]): string {
  const title =
    faults.length === 1 ? 'The configuration has a fault:' : `The configuration has ${faults.length} faults:`;
  return [title, ...faults.map(paragraph)].join('\n\n');
}

function paragraph({ path, origin, wrong, instead }: ConfigFault): string {
  const place = origin === undefined || origin === path ? path : `${path} (${origin})`;
  return `  ${place}: ${wrong}.\n    ${instead}`;
}

const MAX_SHOWN = 60;

/** A value as a fault may show it: in one short line, and nothing that looks like the content of a file. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  if (typeof value === 'string' && value.includes('\n')) return `a text of ${value.length} characters`;
  return text.length <= MAX_SHOWN ? text : `${text.slice(0, MAX_SHOWN)}...`;
}

/** The system's word for what went wrong, `ENOENT`. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
