import { stat } from 'node:fs/promises';
import path from 'node:path';

/** The path itself if it exists, otherwise the nearest of its parents that does. */
export async function nearestExisting(target: string): Promise<string> {
  try {
    await stat(target);
    return target;
  } catch (error) {
    const parent = path.dirname(target);
    if (parent === target) throw error;
    return nearestExisting(parent);
  }
}

/** The system's word for what went wrong, `EACCES`. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}
