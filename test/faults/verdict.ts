/** What a look at the registry found. */
export interface Verdict {
  /** How many names were read back. */
  checked: number;
  /** How many bytes were hashed. */
  hashedBytes: number;
  /** Acknowledged, and not there. */
  readonly lost: string[];
  /** There, and not as it should be. */
  readonly wrong: string[];
}

export function emptyVerdict(): Verdict {
  return { checked: 0, hashedBytes: 0, lost: [], wrong: [] };
}

export function addVerdict(sum: Verdict, verdict: Verdict): void {
  sum.checked += verdict.checked;
  sum.hashedBytes += verdict.hashedBytes;
  sum.lost.push(...verdict.lost);
  sum.wrong.push(...verdict.wrong);
}

/** The findings in a form that a failed assertion can show. */
export function findings({ lost, wrong }: Verdict): string[] {
  return [...lost.map((each) => `lost: ${each}`), ...wrong.map((each) => `wrong: ${each}`)].slice(0, 40);
}

/** Works on all items, `width` at a time, and ends with the first failure. */
export async function forEachOf<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const lane = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
