import { closeSync, constants, fstatSync, openSync, write, writeSync } from 'node:fs';

/**
 * Where log lines go: gathered in memory and given to a file descriptor in pieces that end with a line.
 *
 * Of at most 4 KiB each, which a pipe takes whole or not at all, so that the lines of several workers never mix. A line
 * is on its way after a second at most. A reader that has stopped holds up nobody: what it does not take waits, and
 * beyond 16 MiB further lines are dropped and counted.
 */
export interface LogDestination {
  /** @param line ends with a newline */
  write(line: string): void;
  /** Hands over everything that was written, trying for two seconds at most. For the end of the process. */
  flush(): void;
  /**
   * Calls back at once, or when the thread pool is through with what it writes, and after two seconds at most. For who ends
   * the process without waiting for the pool, as a signal does.
   */
  whenWritten(then: () => void): void;
  /** Flushes and lets go of the timer and of what was opened here; the descriptor that was given stays open. */
  close(): void;
}

export interface LogDestinationOptions {
  readonly fd: number;
  /** Called when the reader is back, with how many lines were dropped meanwhile. */
  readonly onDropped: (lines: number) => void;
}

const PIECE_BYTES = 4096;
const MAX_WAITING_PIECES = 4096;
const FLUSH_EVERY_MS = 1000;
const RETRY_AFTER_MS = 20;
const FLUSH_LIMIT_MS = 2000;
const NEWLINE = 0x0a;

/** A descriptor, and whether a write to it can block this thread for as long as its reader sleeps. */
interface Target {
  readonly fd: number;
  readonly canBlock: boolean;
  readonly isOwn: boolean;
}

export function createLogDestination(options: LogDestinationOptions): LogDestination {
  return new BufferedDestination(targetOf(options.fd), options.onDropped);
}

// Writing 4 KiB to a file takes 4 us, handing them to the thread pool 40 us of CPU. So that a pipe can be written to
// directly as well it is opened a second time, without blocking: the flag belongs to an open file, and the one that was
// inherited is shared with processes that do not expect it. A socket (systemd's journal) cannot be opened so.
function targetOf(fd: number): Target {
  const stat = fstatSync(fd);
  if (stat.isFIFO()) return nonBlockingPipe(fd);
  return { fd, canBlock: stat.isSocket(), isOwn: false };
}

function nonBlockingPipe(fd: number): Target {
  try {
    const own = openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK);
    return { fd: own, canBlock: false, isOwn: true };
  } catch {
    return { fd, canBlock: true, isOwn: false };
  }
}

class BufferedDestination implements LogDestination {
  readonly #target: Target;
  readonly #onDropped: (lines: number) => void;
  readonly #timer: NodeJS.Timeout;
  #gathered = '';
  #waiting: Buffer[] = [];
  /** In the hands of the thread pool. */
  #inFlight: Buffer | undefined;
  #written: (() => void) | undefined;
  #retry: NodeJS.Timeout | undefined;
  #droppedLines = 0;

  constructor(target: Target, onDropped: (lines: number) => void) {
    this.#target = target;
    this.#onDropped = onDropped;
    this.#timer = setInterval(() => this.#drain(), FLUSH_EVERY_MS).unref();
  }

  write(line: string): void {
    if (this.#gathered.length + line.length > PIECE_BYTES) this.#drain();
    this.#gathered += line;
  }

  // What is in flight stays so: the process does not end before its thread pool is through with it.
  flush(): void {
    this.#push();
    const deadline = performance.now() + FLUSH_LIMIT_MS;
    while (this.#waiting.length > 0 && performance.now() < deadline) {
      const fault = this.#writeFirst();
      if (fault === undefined) continue;
      if (!isBehind(fault)) return;
      sleep(RETRY_AFTER_MS);
    }
  }

  whenWritten(then: () => void): void {
    if (this.#inFlight === undefined) return then();
    const limit = setTimeout(then, FLUSH_LIMIT_MS);
    this.#written = () => {
      clearTimeout(limit);
      this.flush();
      then();
    };
  }

  close(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#retry);
    this.flush();
    if (this.#target.isOwn) closeSync(this.#target.fd);
  }

  #drain(): void {
    this.#push();
    if (this.#target.canBlock) this.#drainInThreadPool();
    else this.#drainHere();
    this.#reportDropped();
  }

  #push(): void {
    if (this.#gathered === '') return;
    const pieces = piecesOf(Buffer.from(this.#gathered));
    if (this.#waiting.length + pieces.length <= MAX_WAITING_PIECES) this.#waiting.push(...pieces);
    else this.#droppedLines += this.#gathered.split('\n').length - 1;
    this.#gathered = '';
  }

  #drainHere(): void {
    while (this.#waiting.length > 0) {
      const fault = this.#writeFirst();
      if (fault === undefined) continue;
      // A full disk or a reader that is gone: the timer tries again, and there is nowhere to say so.
      if (isBehind(fault)) this.#retrySoon();
      return;
    }
  }

  #retrySoon(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#drain();
    }, RETRY_AFTER_MS).unref();
  }

  #writeFirst(): unknown {
    const piece = this.#waiting[0];
    if (piece === undefined) return undefined;
    try {
      this.#took(piece, writeSync(this.#target.fd, piece));
      return undefined;
    } catch (error) {
      return error;
    }
  }

  #took(piece: Buffer, bytes: number): void {
    if (bytes === piece.length) this.#waiting.shift();
    else this.#waiting[0] = piece.subarray(bytes);
  }

  #drainInThreadPool(): void {
    if (this.#inFlight !== undefined) return;
    const piece = this.#waiting.shift();
    if (piece === undefined) return;
    this.#inFlight = piece;
    write(this.#target.fd, piece, (error, bytes) => {
      this.#inFlight = undefined;
      if (bytes < piece.length || error !== null) this.#waiting.unshift(piece.subarray(error === null ? bytes : 0));
      if (this.#written !== undefined) return this.#written();
      if (error === null) this.#drainInThreadPool();
    });
  }

  #reportDropped(): void {
    if (this.#droppedLines === 0 || this.#waiting.length > 0) return;
    const lines = this.#droppedLines;
    this.#droppedLines = 0;
    this.#onDropped(lines);
  }
}

/** Cuts after a newline, so that no piece is longer than a pipe takes at once unless one line alone is. */
function piecesOf(text: Buffer): Buffer[] {
  const pieces: Buffer[] = [];
  let rest = text;
  while (rest.length > PIECE_BYTES) {
    const end = rest.lastIndexOf(NEWLINE, PIECE_BYTES - 1) + 1 || rest.indexOf(NEWLINE) + 1 || rest.length;
    pieces.push(rest.subarray(0, end));
    rest = rest.subarray(end);
  }
  if (rest.length > 0) pieces.push(rest);
  return pieces;
}

function isBehind(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
