import { open, type FileHandle } from 'node:fs/promises';
import { constants } from 'node:os';
import path from 'node:path';
import { compile } from './command.ts';

/** The kinds of calls that shim.c tells apart, in its order. */
export const KINDS = ['write', 'sync', 'rename', 'create', 'mkdir', 'unlink', 'truncate', 'open'] as const;
export type CallKind = (typeof KINDS)[number];

/** Those that change what is stored. */
export const CHANGING: readonly CallKind[] = KINDS.filter((kind) => kind !== 'open');

/** In the order of shim.c. */
const MODES = ['off', 'count', 'fail once', 'fail on', 'fall short', 'pretend'] as const;

export interface Plan {
  /**
   * `count`: only count. `fail once`: the nth call fails. `fail on`: all from the nth on. `fall short`: writes take half
   * of what they are given. `pretend`: the calls do nothing and say that they did.
   */
  readonly mode: Exclude<(typeof MODES)[number], 'off'>;
  readonly error?: keyof typeof constants.errno;
  /** Counted from 1. */
  readonly nth?: number;
  readonly kinds?: readonly CallKind[];
}

export interface Sight {
  /** Calls of the plan's kinds since `arm`. */
  readonly count: number;
  /** How many of them were made to fail, fall short or do nothing. */
  readonly hits: number;
  readonly byKind: Readonly<Record<CallKind, number>>;
  /** What the first hit was, `<kind> <path below the directory>`. */
  readonly first: string | undefined;
}

const CONTROL_BYTES = 4096;
const HEAD_BYTES = (8 + KINDS.length) * 8;

/** Makes system calls of a server fail, in all its processes at once and while it runs. */
export class Shim implements AsyncDisposable {
  readonly #control: FileHandle;
  /** What the server has to be started with. */
  readonly env: Readonly<Record<string, string>>;

  private constructor(control: FileHandle, env: Readonly<Record<string, string>>) {
    this.#control = control;
    this.env = env;
  }

  /**
   * @param directory the calls below it are meant
   * @param scratch where the compiled shim and its control file go
   */
  static async open(directory: string, scratch: string): Promise<Shim> {
    const library = await compile('shim.c', path.join(scratch, 'shim.so'), '-shared', '-fPIC');
    const file = path.join(scratch, 'shim.control');
    const control = await open(file, 'w+');
    await control.write(Buffer.alloc(CONTROL_BYTES), 0, CONTROL_BYTES, 0);
    return new Shim(control, {
      LD_PRELOAD: library,
      ENTREPOT_TEST_SHIM_DIRECTORY: directory,
      ENTREPOT_TEST_SHIM_CONTROL: file,
    });
  }

  async arm({ mode, error, nth = 1, kinds = CHANGING }: Plan): Promise<void> {
    await this.disarm();
    const mask = kinds.reduce((sum, kind) => sum | (1 << KINDS.indexOf(kind)), 0);
    const fields = [error === undefined ? 0 : constants.errno[error], nth, mask];
    const page = Buffer.alloc(CONTROL_BYTES - 8);
    fields.forEach((value, at) => page.writeBigInt64LE(BigInt(value), at * 8));
    await this.#control.write(page, 0, page.length, 8);
    await this.#setMode(MODES.indexOf(mode));
  }

  disarm(): Promise<void> {
    return this.#setMode(0);
  }

  async look(): Promise<Sight> {
    const page = Buffer.alloc(CONTROL_BYTES);
    await this.#control.read(page, 0, page.length, 0);
    const field = (at: number) => Number(page.readBigInt64LE(at * 8));
    const text = page.subarray(HEAD_BYTES);
    const hits = field(5);
    return {
      count: field(4),
      hits,
      byKind: Object.fromEntries(KINDS.map((kind, at) => [kind, field(8 + at)])) as Record<CallKind, number>,
      first: hits === 0 ? undefined : `${KINDS[field(6)]} ${text.subarray(0, text.indexOf(0)).toString()}`,
    };
  }

  async #setMode(mode: number): Promise<void> {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(mode), 0);
    await this.#control.write(bytes, 0, 8, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#control.close();
  }
}
