import assert from 'node:assert/strict';
import type { Answer, Client } from './client.ts';

/** The target of `Link: <...>; rel="next"` (RFC 8288); undefined without one. */
export function nextOf(answer: Answer): string | undefined {
  const { link } = answer.headers;
  if (link === undefined) return undefined;
  const target = /^<([^>]+)>; rel="next"$/.exec(String(link))?.[1];
  assert.ok(target !== undefined, `cannot be parsed: ${String(link)}`);
  return target;
}

/** Every page from `path` on, as its links lead. */
export async function follow(client: Client, path: string): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  for (let next: string | undefined = path; next !== undefined;) {
    const answer: Answer = await client.get(next);
    assert.equal(answer.status, 200, answer.text);
    answers.push(answer);
    assert.ok(answers.length <= 1000, 'the links go in a circle');
    next = nextOf(answer);
  }
  return answers;
}
