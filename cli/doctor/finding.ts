import type { Config } from '../../config/config.ts';

/** What one check saw. A `problem` keeps the server from working, a `warning` will hurt some day. */
export type Finding =
  | { readonly level: 'ok'; readonly subject: string; readonly saw: string }
  | { readonly level: 'warning' | 'problem'; readonly subject: string; readonly saw: string; readonly advice: string };

/** What the checks look at besides the machine itself. */
export interface Examination {
  readonly config: Config;
  readonly now: () => Date;
  /** Whether a server runs on the root: nothing is written there then. */
  readonly isServing: boolean;
}

/** Looks at one thing. Never throws for what it looks at: a fault is a finding. Leaves nothing behind. */
export type Check = (examination: Examination) => Promise<readonly Finding[]>;

/** The findings of one subject, without its name at each. */
export function about(subject: string) {
  return {
    ok: (saw: string): Finding => ({ level: 'ok', subject, saw }),
    warning: (saw: string, advice: string): Finding => ({ level: 'warning', subject, saw, advice }),
    problem: (saw: string, advice: string): Finding => ({ level: 'problem', subject, saw, advice }),
  };
}
