/** Rejects when the thing that it looks at cannot be used. The reason is for the log. */
export type HealthCheck = () => Promise<void> | void;

export interface HealthOptions {
  /** By name; the names are what a client gets to see of a failure. */
  readonly checks: Readonly<Record<string, HealthCheck>>;
  /**
   * Checks without which requests can still be served, as long as this says so: when all that stand beside this one lack
   * the same, none of them is to be taken away.
   */
  readonly canServeWithout?: Readonly<Record<string, () => boolean>>;
  readonly isDraining: () => boolean;
  /** Told about every check that fails, for the log. */
  readonly onFailure?: (check: string, reason: unknown) => void;
  /** For each check. */
  readonly timeoutMs?: number;
  /** How long a result is good for. */
  readonly cacheMs?: number;
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number;
}

export interface HealthReply {
  readonly status: 200 | 503;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON. */
  readonly body: string;
}

export interface Health {
  /** `GET /livez`: that it answers is all it says. */
  live(): HealthReply;
  /**
   * `GET /readyz`: whether requests should be sent here. Names what fails, and nothing about why: 503 `unavailable`, or 200
   * `degraded` where some can be served all the same.
   *
   * However often it is called the checks run once in `cacheMs`; draining shows at once.
   */
  ready(): Promise<HealthReply>;
}

const DEFAULT_TIMEOUT_MS = 2000;
const DEFAULT_CACHE_MS = 1000;

export function createHealth(options: HealthOptions): Health {
  const { isDraining, cacheMs = DEFAULT_CACHE_MS, now = () => performance.now() } = options;
  let failing: Promise<readonly string[]> | undefined;
  let staleAt = 0;
  const checked = () => {
    if (failing !== undefined && now() < staleAt) return failing;
    // While it runs it is never stale: however long the checks take, there is one run of them.
    staleAt = Infinity;
    failing = failingChecks(options).finally(() => (staleAt = now() + cacheMs));
    return failing;
  };
  return {
    live: () => reply(200, { status: 'ok' }),
    ready: async () => {
      if (isDraining()) return reply(503, { status: 'draining' });
      const names = await checked();
      if (names.length === 0) return reply(200, { status: 'ok' });
      const canServe = names.every((name) => options.canServeWithout?.[name]?.() === true);
      return canServe
        ? reply(200, { status: 'degraded', failing: names })
        : reply(503, { status: 'unavailable', failing: names });
    },
  };
}

async function failingChecks(options: HealthOptions): Promise<readonly string[]> {
  const { checks, timeoutMs = DEFAULT_TIMEOUT_MS, onFailure } = options;
  const names = await Promise.all(
    Object.entries(checks).map(async ([name, check]) => {
      try {
        await withTimeout(check, timeoutMs);
        return undefined;
      } catch (reason) {
        onFailure?.(name, reason);
        return name;
      }
    }),
  );
  return names.filter((name) => name !== undefined);
}

async function withTimeout(check: HealthCheck, timeoutMs: number): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    await Promise.race([check(), promise]);
  } finally {
    clearTimeout(timer);
  }
}

function reply(status: HealthReply['status'], body: unknown): HealthReply {
  const headers = { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' };
  return { status, headers, body: JSON.stringify(body) };
}
