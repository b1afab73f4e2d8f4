import { readFileSync } from 'node:fs';

/** Names this boot of the machine; where the system does not tell, every start counts as one. */
export function bootId(run: string): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  } catch {
    return run;
  }
}
