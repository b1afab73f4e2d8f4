import { CommandError } from './command.ts';

// What runc, conmon and the shim say when the kernel or a sandbox around the tests forbids what a container needs. A
// fault of the image (a missing file, an exec format error) is none of these.
const REFUSALS = [
  /operation not permitted/i,
  /permission denied/i,
  /read-only file system/i,
  /cgroup/i,
  /function not implemented/i,
  /no such device/i,
];

/**
 * Why the machine does not let a container start, or undefined when it started or failed for another reason; the
 * caller awaits `started` again for that.
 */
export async function machineRefuses(started: Promise<unknown>): Promise<string | undefined> {
  try {
    await started;
  } catch (error) {
    if (!(error instanceof CommandError)) return undefined;
    const { stderr } = error;
    if (REFUSALS.some((refusal) => refusal.test(stderr))) return `this machine starts no container: ${stderr}`;
  }
  return undefined;
}
