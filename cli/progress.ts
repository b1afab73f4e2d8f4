import type { TaskReport } from '../server/tasks.ts';

/** Shows how far something is. */
export interface Progress {
  show(report: TaskReport): void;
  end(): void;
}

const WIDTH = 100;

/** One line on a terminal that is written over and over; nothing where nobody watches. */
export function createProgress(
  label: string,
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'> = process.stderr,
): Progress {
  let isShown = false;
  return {
    show: (report) => {
      if (!stream.isTTY) return;
      const words = Object.entries(report).map(([name, value]) => `${wordsOf(name)} ${String(value)}`);
      stream.write(`\r\u001B[K${`${label}: ${words.join(', ')}`.slice(0, WIDTH)}`);
      isShown = true;
    },
    end: () => {
      if (isShown) stream.write('\r\u001B[K');
      isShown = false;
    },
  };
}

/** `linksRemoved` as `links removed`. */
function wordsOf(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}
