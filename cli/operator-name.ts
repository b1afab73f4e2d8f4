import { userInfo } from 'node:os';

/** Who sits at the terminal, also where they are root for this command. Asked before it acts as the owner of a store. */
export function operatorName(): string {
  const { SUDO_USER: behindSudo = '' } = process.env;
  if (behindSudo !== '') return behindSudo;
  try {
    return userInfo().username;
  } catch {
    // In a container nobody may have a name.
    return `user ${String(process.geteuid?.())}`;
  }
}
