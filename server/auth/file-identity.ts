import { stat } from 'node:fs/promises';

/** Changes when the file is replaced, rewritten or reached through another link. @throws when there is none */
export async function fileIdentity(file: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(':');
}
