import { closeSync, fstatSync, openSync, statSync, writeSync } from 'node:fs';
import { isStream } from '../../config/access-words.ts';
import { createLogDestination, type LogDestination } from '../observe/log-destination.ts';
import { auditLine, type AuditEntry } from './audit-line.ts';

/** Who did what: one line each, in a file of its own or on a stream. */
export interface AuditLog {
  write(entry: AuditEntry): void;
  close(): void;
}

export const NO_AUDIT: AuditLog = { write: () => {}, close: () => {} };

/** The file cannot be used; the message says what to do. */
export class AuditUnusable extends Error {
  override readonly name = 'AuditUnusable';
}

const OWNER_ONLY = 0o600;
const LOOK_EVERY_MS = 1000;

/**
 * Opens the file to append to, or the stream of that name. Each line is with the system before the next request begins, so that a crash of this
 * process takes none away; several processes append to the same file.
 *
 * @param onFault told once when lines cannot be written, and again when that was over in between
 * @throws AuditUnusable
 */
export function openAuditLog(file: string, onFault: (error: unknown) => void): AuditLog {
  if (isStream(file)) return new AuditStream(file, onFault);
  try {
    return new AuditFile(file, onFault);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new AuditUnusable(`${file} cannot be written (${code}): access.audit names a file that this user may write`);
  }
}

/** A stream of the process, which goes wherever its log goes. It takes what it can: see `LogDestination`. */
class AuditStream implements AuditLog {
  readonly #destination: LogDestination;

  constructor(name: 'stdout' | 'stderr', onFault: (error: unknown) => void) {
    this.#destination = createLogDestination({
      fd: name === 'stdout' ? 1 : 2,
      onDropped: (lines) => onFault(new Error(`${lines} lines of the audit were dropped: nobody took them`)),
    });
  }

  write(entry: AuditEntry): void {
    this.#destination.write(auditLine(entry, new Date().toISOString()));
  }

  close(): void {
    this.#destination.close();
  }
}

class AuditFile implements AuditLog {
  readonly #file: string;
  readonly #onFault: (error: unknown) => void;
  #descriptor: number;
  #lookedAt = 0;
  #isFaulty = false;
  /** The number of the descriptor is another file's by then. */
  #isClosed = false;

  constructor(file: string, onFault: (error: unknown) => void) {
    this.#file = file;
    this.#onFault = onFault;
    this.#descriptor = openSync(file, 'a', OWNER_ONLY);
  }

  write(entry: AuditEntry): void {
    if (this.#isClosed) return;
    const now = Date.now();
    try {
      if (now - this.#lookedAt > LOOK_EVERY_MS) this.#follow(now);
      writeSync(this.#descriptor, auditLine(entry, new Date(now).toISOString()));
      this.#isFaulty = false;
    } catch (error) {
      if (!this.#isFaulty) this.#onFault(error);
      this.#isFaulty = true;
    }
  }

  /** logrotate renames the file: the next lines belong into a new one. */
  #follow(now: number): void {
    this.#lookedAt = now;
    if (statSync(this.#file, { throwIfNoEntry: false })?.ino === fstatSync(this.#descriptor).ino) return;
    const next = openSync(this.#file, 'a', OWNER_ONLY);
    closeSync(this.#descriptor);
    this.#descriptor = next;
  }

  close(): void {
    this.#isClosed = true;
    closeSync(this.#descriptor);
  }
}
