/** A backup cannot be made, read or restored; the message is for the person at the terminal. */
export class BackupFault extends Error {
  override readonly name = 'BackupFault';
}
