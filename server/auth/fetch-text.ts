/** Something was not to be had from another server; the message says what and why. */
export class FetchError extends Error {
  override readonly name = 'FetchError';
}

const WITHIN_MS = 5_000;
const BYTES_MAX = 256 * 1024;

/**
 * Gets a small text over HTTPS; over plain HTTP only from this machine. No redirect is followed: what is believed comes
 * from where the configuration says.
 *
 * @throws FetchError
 */
export async function fetchText(url: string, signal?: AbortSignal): Promise<string> {
  if (!isSafe(url)) throw new FetchError(`${url}: keys are fetched over https only`);
  const signals = [AbortSignal.timeout(WITHIN_MS), ...(signal === undefined ? [] : [signal])];
  try {
    const response = await fetch(url, {
      signal: AbortSignal.any(signals),
      redirect: 'error',
      headers: { Accept: 'application/json' },
    });
    if (response.status !== 200) throw new FetchError(`${url} answers ${response.status}`);
    return await textWithin(response, url);
  } catch (error) {
    if (error instanceof FetchError) throw error;
    throw new FetchError(`${url} is not reached (${reasonOf(error)})`, { cause: error });
  }
}

/** HTTPS, or plain HTTP that does not leave this machine. */
export function isSafe(url: string): boolean {
  const parsed = URL.parse(url);
  if (parsed?.protocol === 'https:') return true;
  return parsed?.protocol === 'http:' && ['127.0.0.1', 'localhost', '[::1]'].includes(parsed.hostname);
}

async function textWithin(response: Response, url: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > BYTES_MAX) throw new FetchError(`${url} answers with more than ${BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message : error.message;
}
