let end: Promise<void> | undefined;

/**
 * Resolves when all that arrived with this turn of the event loop has been looked at.
 *
 * Answers that wait for it leave one behind the other. Each on its own would wake its reader: on a busy server, behind a
 * proxy or in a virtual machine, that costs more than the answer.
 */
export function turnEnd(): Promise<void> {
  end ??= new Promise((resolve) => {
    setImmediate(() => {
      end = undefined;
      resolve();
    });
  });
  return end;
}
